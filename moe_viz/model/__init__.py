"""What is computed: the layers of Mixtral, in torch, without any knowledge of files."""

from .layers import KVCache
from .mixtral import Mixtral, initialise

__all__ = ["KVCache", "Mixtral", "initialise"]
