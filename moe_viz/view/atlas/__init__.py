# SPDX-License-Identifier: Apache-2.0
"""The atlas as a page: a grid of experts, an entry for each, and a search."""
