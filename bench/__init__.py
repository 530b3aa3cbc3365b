"""One file a promise: each runs by itself, checks its answers and prints one JSON line last."""
