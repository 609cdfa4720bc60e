"""Turns validated signals into orders: price from the cache, BEGIN, one broker call, settle, event.

Stateless on market data: it subscribes to `signals.validated` alone, keeps nothing pending, needs no warm-up.
"""
