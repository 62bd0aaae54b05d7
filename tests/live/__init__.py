# SPDX-License-Identifier: Apache-2.0
"""The model inside a page, held to the model in Python."""
