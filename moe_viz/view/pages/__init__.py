# SPDX-License-Identifier: Apache-2.0
"""Whole files and what serves them: documents, reports, notebooks as pages and slides."""
