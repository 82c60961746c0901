"""One stream: sources, the session that speaks each step, the paced loop, outputs."""
