# SPDX-License-Identifier: Apache-2.0
"""The atlas: what each expert of a corpus takes, how sure one can be, and what an untrained router
does beside it."""

from .atlas import Atlas as Atlas
from .atlas import atlas_of as atlas_of
