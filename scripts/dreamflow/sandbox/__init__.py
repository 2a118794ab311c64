"""Running programs that nobody has read."""
