"""The paper venue: fills orders from the feed's prices. Holds no state; the journal is its order book."""
