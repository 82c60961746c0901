"""Two texts before a judge, and what becomes of the votes."""
