"""The families that there are. Importing this module registers their parsers."""

from .chunks import parsers  # noqa: F401
from .dreams import statement_parser, verdict_parser  # noqa: F401
