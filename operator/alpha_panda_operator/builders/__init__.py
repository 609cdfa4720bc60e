"""Pure functions from a resource and the configuration to manifests, one module a kind of object.

Nothing here asks the API, reads a clock or logs: the same input gives the same manifest, byte for byte.
"""
