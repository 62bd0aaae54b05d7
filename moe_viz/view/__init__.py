# SPDX-License-Identifier: Apache-2.0
"""Seeing what was recorded and found: explorer, charts, and pages that need no network."""
