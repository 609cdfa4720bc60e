"""Zerodha's Kite Connect v3: everything that is this broker's own. Facts and their sources: docs/brokers/zerodha.md."""
