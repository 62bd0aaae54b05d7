"""`python -m moe_viz.cli`."""

from . import main

main()
