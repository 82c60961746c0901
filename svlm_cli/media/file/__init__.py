"""Pictures of a file."""
