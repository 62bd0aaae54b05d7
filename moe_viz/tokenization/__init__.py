# SPDX-License-Identifier: Apache-2.0
"""From texts to token ids, pieces and the characters they stand for, and back."""

from .alignment import Encoding as Encoding
from .alignment import visible as visible
from .jsonfile import JSONVocabulary as JSONVocabulary
from .sentencepieces import SentencePieceVocabulary as SentencePieceVocabulary
from .tokenizer import Tokenizer as Tokenizer
from .tokenizer import without_special as without_special
from .vocabulary import Added as Added
from .vocabulary import Settings as Settings
from .vocabulary import Vocabulary as Vocabulary
