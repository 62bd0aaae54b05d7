# SPDX-License-Identifier: Apache-2.0
"""Repositories on the Hugging Face Hub, read in ranges of bytes and never downloaded."""
