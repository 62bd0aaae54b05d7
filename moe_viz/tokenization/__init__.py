"""From texts to token ids, pieces and the characters they stand for, and back."""

from .tokenizer import Encoding as Encoding
from .tokenizer import Tokenizer as Tokenizer
from .tokenizer import visible as visible
