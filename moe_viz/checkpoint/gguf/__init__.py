"""GGUF, llama.cpp's format: packed tensors, configuration and vocabulary in one file."""
