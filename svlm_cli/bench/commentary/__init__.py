"""Speak, then be judged: Inf-Streams-Eval and LiveSports-3K CC."""
