# SPDX-License-Identifier: Apache-2.0
"""Checksums of a trace's arrays and header: a damaged file must not be taken for a recording.

Two for each array, CRC-32: of all of it, and of pages spread over it, which is quick to look at
where an array has gigabytes. A copy that was cut off and filled up with zeros fails both.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

#: What a header's checksum is called beside it. A trace of format 1 may have none; a name that is
#: neither is damage, or a damaged name would make a file one of those.
HEADER_SUM = "moe_viz_crc32"
#: Bytes up to which an array is always read whole.
SMALL = 2**26
#: Bytes of a page, and how many are looked at. Files rest on both: they stay as they are.
PAGE, PAGES = 4096, 64


def checksums(arrays: Mapping[str, np.ndarray]) -> dict[str, list[int]]:
    """Of each array the checksum of the whole and that of some pages.

    >>> checksums({"a": np.arange(3, dtype=np.uint8)})
    {'a': [139757951, 139757951]}
    """
    return {name: [zlib.crc32(_bytes(a)), _of_pages(a)] for name, a in arrays.items()}


def text_sum(text: str) -> str:
    """The checksum of a header, as it is written beside it."""
    return f"{zlib.crc32(text.encode('utf-8', 'surrogatepass')):08x}"


def differing(
    arrays: Mapping[str, np.ndarray], noted: Mapping[str, Any], whole: bool = False
) -> list[str]:
    """The arrays that are not what was noted; those of which nothing was are passed over."""
    found = []
    for name, array in arrays.items():
        expected = noted.get(name)
        if isinstance(expected, list) and len(expected) == 2:
            read = whole or array.nbytes <= SMALL
            actual = zlib.crc32(_bytes(array)) if read else _of_pages(array)
            if actual != expected[0 if read else 1]:
                found.append(name)
    return found


def _bytes(array: np.ndarray) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _of_pages(array: np.ndarray) -> int:
    data, checksum = _bytes(array), 0
    last = max(len(data) - PAGE, 0)
    for start in sorted({round(last * n / (PAGES - 1)) for n in range(PAGES)}):
        checksum = zlib.crc32(data[start : start + PAGE], checksum)
    return checksum
