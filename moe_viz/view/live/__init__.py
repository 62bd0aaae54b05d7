# SPDX-License-Identifier: Apache-2.0
"""The model inside a page."""
