"""One file a format: a `Document` in, text or bytes out. What would be markup in a format is escaped here and nowhere else."""
