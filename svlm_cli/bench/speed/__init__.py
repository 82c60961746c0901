"""Time against the floor."""
