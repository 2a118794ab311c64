"""The text in a file's bytes."""

import re

from ...errors import ConfigError
from .encodings import UnknownEncoding, decode

_CONTROL = re.compile("[\0-\x08\x0e-\x1a\x1c-\x1f]")


def decoded(data: bytes, where: str) -> str:
    """The text in a file's bytes, with its line breaks unchanged. Raises a `ConfigError`."""
    try:
        where.encode()
        text = decode(data)
    except UnicodeEncodeError:
        raise ConfigError(f"{where!r}: the file name is not UTF-8; rename the file") from None
    except UnknownEncoding as error:
        raise ConfigError(f"{where}: not UTF-8 text but {error}; save it as UTF-8") from None
    if len(_CONTROL.findall(text)) * 20 > len(text):
        raise ConfigError(f"{where}: a binary file, not text: more than 5% of its characters are control characters")
    if not text.removeprefix("\ufeff").strip():
        raise ConfigError(f"{where}: an empty file; a conversation needs at least one turn")
    return text
