"""What differs between model families, and whether a checkpoint is what its row says."""
