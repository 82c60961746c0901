"""Files in, pictures out: readers, the frame rule, and what a stream asks of a source."""
