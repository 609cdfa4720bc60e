"""What every service needs and none should write again: settings, logging, retries, breaker, dead letters, life cycle.

Imports `contracts`, `domain` and `ports`. Must never import a service (they are found through `registry`) nor an
adapter (a composition root puts them into `context.Ports`), and holds no trading rule.
"""
