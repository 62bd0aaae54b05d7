# SPDX-License-Identifier: Apache-2.0
"""Running a model with its routers' decisions kept: recording texts, and generating them."""

from .generation import Generation as Generation
from .generation import generate as generate
from .recorder import Recorder as Recorder
from .recording import record as record
