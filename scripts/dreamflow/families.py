"""All families. Importing this module registers their parsers.

A family is a package beside this file: the class `FAMILY` of `<name>/family.py`, and the rules in `rules/<name>.smk`.
"""

from importlib import import_module

from .family import Family

# Packages beside this file, in the order in which they are planned.
NAMES = ("cohorts", "dreams", "chunks", "probe", "distill", "trust")

FAMILIES: tuple[type[Family], ...] = tuple(import_module(f"{__package__}.{name}.family").FAMILY for name in NAMES)
