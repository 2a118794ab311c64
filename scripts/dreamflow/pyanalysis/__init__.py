"""What Python code reads, writes and does, and how its steps depend on each other."""
