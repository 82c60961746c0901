"""``svlm bench``: a module for each benchmark, thin."""
