"""What Kopf's watches call: each handler passes on what it is given, and does nothing else.

Only `on.event`: Kopf keeps no state on resources then, sets no finalizers and writes nothing at all.
"""
