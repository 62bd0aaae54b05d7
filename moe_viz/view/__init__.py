"""Seeing what was recorded and found: explorer, charts, and pages that need no network."""
