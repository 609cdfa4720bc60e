"""Turns a feed's source into tick records: numbers them, maps them to partitions, proves the feed alive."""
