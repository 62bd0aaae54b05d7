# SPDX-License-Identifier: Apache-2.0
"""The picture of a trace: text, map and decision, self-contained in a notebook or a page."""
