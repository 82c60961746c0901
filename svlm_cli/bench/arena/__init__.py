"""The synthetic match, where every event is known."""
