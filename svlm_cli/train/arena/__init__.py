"""What only the small models of the arena use: samples, vocabulary, a new model."""
