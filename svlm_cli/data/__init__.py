"""Videos and words as training samples."""
