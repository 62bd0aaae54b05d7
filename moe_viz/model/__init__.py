# SPDX-License-Identifier: Apache-2.0
"""What is computed: the layers of Mixtral, in torch, without any knowledge of files."""

from .layers import KVCache as KVCache
from .mixtral import Mixtral as Mixtral
from .untrained import initialise as initialise
