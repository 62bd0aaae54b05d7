"""What a recording leaves: routing decisions, tokens and provenance. No torch here."""

from .numbers import GAP as GAP
from .numbers import gap_sentence as gap_sentence
from .numbers import gaps as gaps
from .numbers import margins_of as margins_of
from .numbers import with_gaps as with_gaps
from .provenance import Provenance as Provenance
from .trace import Trace as Trace
from .trace import TracePrompt as TracePrompt
from .trace import mismatch as mismatch
