# SPDX-License-Identifier: Apache-2.0
"""The routing decision, the rule it follows, and the hooks that record and change it."""

from .decision import NotFiniteError as NotFiniteError
from .decision import Routing as Routing
from .decision import TokenIndex as TokenIndex
from .hooks import RouterHook as RouterHook
from .hooks import apply_hooks as apply_hooks
from .scoring import MIXTRAL as MIXTRAL
from .scoring import Scoring as Scoring
