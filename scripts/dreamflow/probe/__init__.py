"""Probes measure what models can do, on tasks with exact answers."""
