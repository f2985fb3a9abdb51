"""What the parts of the package cost in time: a step, the end of an epoch, the import."""
