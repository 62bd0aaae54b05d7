"""`python -m moe_viz.cli`."""

from .program import main

main()
