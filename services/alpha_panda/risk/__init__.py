"""Decides once on every signal of an account, keeps its book, and latches what has lost too much."""
