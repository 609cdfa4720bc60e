"""Helpers for tests, ours and those of people who write strategies. Nothing that trades imports this."""
