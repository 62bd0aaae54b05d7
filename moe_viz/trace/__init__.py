"""What a recording leaves: routing decisions, tokens and provenance. No torch here."""

from .provenance import Provenance as Provenance
from .trace import Trace as Trace
from .trace import TracePrompt as TracePrompt
from .trace import margins_of as margins_of
from .trace import mismatch as mismatch
