"""One stream as it runs, and several through one model."""
