# SPDX-License-Identifier: Apache-2.0
"""What a recording leaves: routing decisions, tokens and provenance. No torch here."""

from .dataset import TraceDataset as TraceDataset
from .gaps import GAP as GAP
from .gaps import gaps as gaps
from .gaps import with_gaps as with_gaps
from .numbers import gap_sentence as gap_sentence
from .numbers import margins_of as margins_of
from .pairing import mismatch as mismatch
from .provenance import Provenance as Provenance
from .rule import Rule as Rule
from .trace import Trace as Trace
from .trace import TracePrompt as TracePrompt
