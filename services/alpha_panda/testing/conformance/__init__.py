"""What an adapter for another broker must keep, as pytest classes to subclass: see docs/brokers/adding-one.md."""
