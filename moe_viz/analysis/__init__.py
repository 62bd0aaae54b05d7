"""Pure functions from traces to arrays. NumPy only; never torch.

Documents are never joined, special tokens are left out, and statistics are per (layer, expert):
expert 3 of one layer and expert 3 of the next are unrelated networks.
"""
