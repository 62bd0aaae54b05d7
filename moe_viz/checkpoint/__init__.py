# SPDX-License-Identifier: Apache-2.0
"""Where weights come from: one lazy mapping of canonical names to tensors, whatever the format.

`open_checkpoint(source)` reads headers only. The model asks for canonical names (`layout.py`) and
never knows where a tensor came from, nor how it was stored.
"""

from .mapping import Checkpoint as Checkpoint
from .opening import open_checkpoint as open_checkpoint
from .safetensors import save_checkpoint as save_checkpoint
