# SPDX-License-Identifier: Apache-2.0
"""Damaged and hostile files, made by the thousand from good ones."""
