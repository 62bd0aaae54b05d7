# SPDX-License-Identifier: Apache-2.0
"""`python -m moe_viz.cli`."""

from .program import main

main()
