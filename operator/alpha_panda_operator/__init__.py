"""The Kubernetes operator: turns MarketFeed, BrokerAccount and Strategy resources into the pods that serve them.

Imports `alpha_panda.contracts`, shared parts of `alpha_panda.runtime` and the store of control keys and statuses.
Never a service, a broker, Kafka or the command line: it decides what runs, and takes no part in trading.
"""
