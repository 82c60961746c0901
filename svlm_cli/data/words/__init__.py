"""Sound, captions and transcripts to words with their seconds."""
