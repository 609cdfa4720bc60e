"""Runs users' strategies: ticks and their own orders in, signals out, each stored before it is produced."""
