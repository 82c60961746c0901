"""What a listener asks about a match, with the right answer and where it can be found."""
