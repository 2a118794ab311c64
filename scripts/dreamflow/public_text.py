"""Files of a configuration as they may be passed on."""

import re

_SECRET = re.compile(r"(?im)^(\s*['\"]?[\w.-]*(?:api_?key|token|secret|password|authorization)['\"]?\s*:\s*)(\S.*)$")
_USER = re.compile(r"(?<=://)[^/\s@'\"]+@")


def public_text(text: str) -> str:
    """A text without what may be secret: the values of keys that are called so, and users in addresses."""
    return _USER.sub("", _SECRET.sub(r"\1(hidden)", text))
