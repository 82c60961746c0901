"""Be asked: OVO-Bench, LongVideoBench, lmms-eval."""
