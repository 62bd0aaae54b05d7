# SPDX-License-Identifier: Apache-2.0
"""Changing the routing: one change as a hook, the `with` block, what it does, the control."""
