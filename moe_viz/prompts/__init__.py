# SPDX-License-Identifier: Apache-2.0
"""Curated prompts: passages, each in five languages; algorithms, each in four kinds of code."""

from .collection import CODE as CODE
from .collection import LABELS as LABELS
from .collection import LANGUAGES as LANGUAGES
from .collection import LICENSE as LICENSE
from .collection import Prompt as Prompt
from .collection import Prompts as Prompts
from .collection import code as code
from .collection import curated as curated
from .collection import passages as passages
from .collection import topics_of as topics_of
