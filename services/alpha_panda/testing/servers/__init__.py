"""Real servers for tests: started on free loopback ports, or taken from the environment where it names them.

Each is ended with the test session, also when that is killed.
"""
