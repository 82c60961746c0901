"""What a stream leaves behind: captions, events, pictures and sound, in files valid at any moment."""
