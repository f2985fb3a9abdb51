"""Where a training is, and how that reaches a compiled step on each backend."""
