"""Dreamflow's library: language models at work offline, on files. It imports no Snakemake."""

__version__ = "0.1.0"
