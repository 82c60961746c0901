"""States of tokens: how keys turn, layers as transformers sees them."""
