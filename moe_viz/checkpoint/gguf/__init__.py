# SPDX-License-Identifier: Apache-2.0
"""GGUF, llama.cpp's format: packed tensors, configuration and vocabulary in one file."""
