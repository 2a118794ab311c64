"""Nights: one cycle of all work, a phase after the other, which always ends in a journal."""
