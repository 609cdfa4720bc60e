"""Follows an account's orders to their end: resting fills, expiry, orders in doubt, events not yet acknowledged.

The only one that resolves what is in doubt, and the only one that corrects.
"""
