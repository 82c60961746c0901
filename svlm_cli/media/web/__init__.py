"""Videos of the web, through yt-dlp."""
