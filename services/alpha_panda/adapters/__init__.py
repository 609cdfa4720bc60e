"""What stands behind the ports: one package or module for each outside thing.

Only composition roots (`__main__`, `cli`, `backtest`, `testing`) import from here; services see the ports.
"""
