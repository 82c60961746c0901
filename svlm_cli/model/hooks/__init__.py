"""What svlm hands to transformers by its own hooks: caches, attention, words in shapes that never change."""
