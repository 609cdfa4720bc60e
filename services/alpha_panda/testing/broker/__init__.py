"""A broker that misbehaves on command: as a state machine in the process, and as a server on loopback.

`core` is the broker itself, without I/O or clock; `faults` what it can be told to do wrong; `api` its wire format and
what a caller may conclude from it; `trader` and `http_trader` are the port `Trader` over the two.
"""
