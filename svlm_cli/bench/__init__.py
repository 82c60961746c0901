"""Measuring a model and an engine: what was said against what was true, and how fast."""
