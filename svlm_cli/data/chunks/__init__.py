"""Words and videos to overlapping chunks."""
