# SPDX-License-Identifier: Apache-2.0
"""Where and when a model is computed: resident, spread over devices, offloaded, streamed."""

from . import memory as memory
from .loading import _choose as _choose
from .loading import load as load
