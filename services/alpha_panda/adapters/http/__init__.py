"""One HTTP request, sent at most once: what every broker's adapter over HTTP sends orders with."""
