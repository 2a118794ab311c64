"""Procedures that dream: dependency analysis, operators, checks, sandbox, journal."""
