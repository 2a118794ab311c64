"""The text in a file's bytes."""

import re

from ...errors import ConfigError

_CONTROL = re.compile("[\0-\x08\x0e-\x1a\x1c-\x1f]")


def decoded(data: bytes, where: str) -> str:
    """The text in a file's bytes, with its line breaks and byte order mark unchanged. Raises a `ConfigError`."""
    try:
        where.encode()
        text = data.decode("utf-8")
    except UnicodeEncodeError:
        raise ConfigError(f"{where!r}: the file name is not UTF-8; rename the file") from None
    except UnicodeDecodeError as error:
        utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
        kind = "UTF-16" if utf16 else f"binary, or in another encoding (byte {error.start})"
        raise ConfigError(f"{where}: not UTF-8 text but {kind}; save it as UTF-8") from None
    if len(_CONTROL.findall(text)) * 20 > len(text):
        raise ConfigError(f"{where}: a binary file, not text: more than 5% of its characters are control characters")
    if not text.removeprefix("\ufeff").strip():
        raise ConfigError(f"{where}: an empty file; a conversation needs at least one turn")
    return text
