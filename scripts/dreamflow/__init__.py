"""Dreamflow's library: language models work offline, on files. It does not import Snakemake."""

__version__ = "0.1.0"
