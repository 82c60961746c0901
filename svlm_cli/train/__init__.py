"""Training on the same turns that streaming writes."""
