"""A local Kite: Zerodha's Kite Connect v3 as far as trading goes, on loopback, misbehaving on command.

async with KiteServer() as kite:
    token = kite.new_session()
    client = KiteConnect(kite.api_key, token, root=kite.url)       # the official client, unmodified
    kite.core.plan(faults.drop_reply())                            # the next order is taken, its reply is lost

`core` is the broker without I/O or clock, `api` the REST interface as a pure function over it, `server` puts both on
sockets, `control` commands it from another process, `faults` is what it can be told to do wrong.

What is fact and what is a guess: what the docstrings don't mark follows Kite's documentation, its official clients
or its published mock files. "Guess" marks what no source settles; most guesses are settings of `KiteConfig`.

Left out: mutual funds, alerts, baskets' margin benefits, the firing of GTTs, real margins (`funds` has a simple rule).
"""
