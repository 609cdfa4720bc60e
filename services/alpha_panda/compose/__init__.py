"""Composition roots: chooses adapters by the settings and manifests and wires services to them.

With `cli`, `testing` and each service's `__main__` the only code that knows both services and adapters.
"""
