"""Chunks to token ids, positions and labels."""
