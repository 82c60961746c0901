"""From a checkpoint and a clip to words: prompt, window, positions, cache, decoding."""
