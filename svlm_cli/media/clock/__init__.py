"""One clock for all that a file holds: arithmetic, without libav."""
