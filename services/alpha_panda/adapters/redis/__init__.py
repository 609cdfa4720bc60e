"""Redis: prices, the order journal, decisions, control, leases, checkpoints, statuses.

Each operation that checks before it writes is one Lua script (`lua/`). Nothing here ever sends a request twice: a
lost reply is not a lost write.
"""
