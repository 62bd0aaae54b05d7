# SPDX-License-Identifier: Apache-2.0
"""How many threads torch computes with: each thread's own setting, which new ones inherit.

Sums are split by it, so a recording's last bits depend on it. Whoever changes it for a while must
not change it for the threads that begin meanwhile.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_lock = threading.Lock()


def settle() -> None:
    """Have this thread take over the setting now, and not in the middle of another's change."""
    with _lock:
        torch.get_num_threads()


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute without helpers, in this thread alone; afterwards as before."""
    with _lock:
        before = torch.get_num_threads()
        torch.set_num_threads(1)
        # torch takes the last call of any thread for new ones: let that be the old number.
        other = threading.Thread(target=torch.set_num_threads, args=(before,))
        other.start()
        other.join()
    try:
        yield
    finally:
        torch.set_num_threads(before)
