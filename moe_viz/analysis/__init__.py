# SPDX-License-Identifier: Apache-2.0
"""Pure functions from traces to tables. NumPy; SciPy inside the functions that use it; no torch.

Documents (prompts) are never joined, special tokens are left out, and statistics are per (layer,
expert): expert 3 of one layer and expert 3 of the next are unrelated networks. Each result is a
`Finding` with its denominator, a baseline and a 95 % interval over documents; the model that was
never trained (`moe_viz.untrained_twin`) goes through the same functions as a control.
"""

from .agreement import compare as compare
from .cache import expert_cache as expert_cache
from .certainty import certainty as certainty
from .certainty import margin_histogram as margin_histogram
from .coactivation import coactivation as coactivation
from .committee import committee as committee
from .committee import committee_overlap as committee_overlap
from .divergence import label_divergence as label_divergence
from .divergence import language_divergence as language_divergence
from .documents import Documents as Documents
from .finding import Finding as Finding
from .load import load as load
from .load import load_shares as load_shares
from .repetition import repetition as repetition
from .transitions import paths as paths
from .transitions import transitions as transitions
from .vocabulary import favourites as favourites
from .vocabulary import vocabulary as vocabulary
