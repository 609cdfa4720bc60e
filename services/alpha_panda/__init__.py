"""Alpha Panda: trading strategies as Kubernetes resources, and the same manifests in one process."""

__version__ = "0.1.0"
