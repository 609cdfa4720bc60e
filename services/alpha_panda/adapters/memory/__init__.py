"""The outside, inside one process: bus, stores and virtual time of the embedded run, the backtest and tests.

One event loop, no threads, no locks: a method that doesn't await is atomic. Nothing here outlives the process.
"""
