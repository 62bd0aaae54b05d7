# SPDX-License-Identifier: Apache-2.0
"""The command line: thin wrappers over the Python calls of the same names."""

from .app import app as app
from .program import main as main
