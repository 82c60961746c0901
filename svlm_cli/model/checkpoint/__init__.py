"""A checkpoint or adapter as it lies in its folder, and the network made of it."""
