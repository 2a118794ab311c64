"""What every test needs."""

import dreamflow.families  # noqa: F401  (it registers the parsers of all families)
