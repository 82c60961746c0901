"""The parts of one step of a session: what is written, what is fed, what is said."""
