# SPDX-License-Identifier: Apache-2.0
"""One decoder layer, drawn."""
