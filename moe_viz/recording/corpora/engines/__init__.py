# SPDX-License-Identifier: Apache-2.0
"""What runs a plan: this process, several on this machine, or Ray on many machines."""

from .engine import Engine as Engine
from .naming import engine_named as engine_named
