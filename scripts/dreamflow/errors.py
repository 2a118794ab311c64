"""Errors that are written for the person who reads them: what is wrong, where, and what to do."""


class DreamflowError(Exception):
    """Any failure with a message fit for the screen."""


class ConfigError(DreamflowError):
    """A configuration, specification or catalog is wrong; raised before anything is spent."""
