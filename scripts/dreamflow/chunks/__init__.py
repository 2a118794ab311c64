"""Conversations: read into turns, split into units and windows, and divided into chunks that contain the whole text."""
