"""Whole files and what serves them: documents, reports, notebooks as pages and slides."""
