"""Figures of the services for Prometheus: the catalogue names them all, `Metrics` holds those of one process.

Nothing here is done per tick: counters and histograms are bound to their labels once and moved per batch; gauges are
read when somebody asks.
"""
