"""The page of a stream: server, guards, limits, and what it shows."""
