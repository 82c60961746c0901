"""The vision tower: what it works out of a grid, its attention within windows, what it makes of frames."""
