"""Sources to videos in a folder."""
