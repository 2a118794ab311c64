"""Conversations dream: read into turns, split into units and windows, and cut into chunks that lose nothing."""
