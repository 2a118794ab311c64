"""The plan: a table of generations, compiled from YAML and input files, without side effects."""
