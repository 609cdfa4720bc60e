"""Keeps the latest price of every instrument in the price cache. With strategies, the only reader of ticks."""
