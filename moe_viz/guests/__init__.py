# SPDX-License-Identifier: Apache-2.0
"""Mixtures of other families, run by transformers, recorded and changed through one seam."""
