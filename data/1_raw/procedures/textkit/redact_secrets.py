"""Takes secrets out of a text before it is shared."""

import math
import re
from collections import Counter

PATTERNS = {
    "private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S),
    "password": re.compile(r"(?i)\b(?:password|passwd|secret|token|api[_-]?key)\b\s*[:=]\s*(?P<value>[^\s,;]+)"),
    "credentials in a url": re.compile(r"\b[a-z][a-z0-9+.-]*://[^\s/:@]*:(?P<value>[^\s/@]+)@"),
    "email": re.compile(r"(?P<value>[\w.+-]+)@[\w-]+(?:\.[\w-]+)+"),
}
TOKEN = re.compile(r"[A-Za-z0-9_+/=-]+")


def entropy(token: str) -> float:
    """Bits a character (Shannon): words have 2 to 3.5, random keys more than 4."""
    counts = Counter(token)
    return -sum(count / len(token) * math.log2(count / len(token)) for count in counts.values())


def redact_secrets(text: str, min_length: int = 20, min_entropy: float = 4.0, keep: tuple[str, ...] = ()) -> dict:
    """The text with each secret replaced by [kind], and how many there were of each kind: {text, found}.

    Beside known forms, tokens of at least `min_length` characters and `min_entropy` bits a character are taken for
    keys. Values in `keep` stay: examples of a documentation, say.
    """
    found = Counter()

    def hide(match: re.Match, kind: str) -> str:
        group = "value" if "value" in match.re.groupindex else 0
        secret = match[group]
        if secret in keep or secret.startswith("["):
            return match[0]
        found[kind] += 1
        start, end = match.span(group)
        return f"{match.string[match.start() : start]}[{kind}]{match.string[end : match.end()]}"

    for kind, pattern in PATTERNS.items():
        text = pattern.sub(lambda match, kind=kind: hide(match, kind), text)

    def hide_key(match: re.Match) -> str:
        token = match[0]
        mixed = any(c.isdigit() for c in token) and any(c.isalpha() for c in token)
        if len(token) < min_length or not mixed or entropy(token) < min_entropy:
            return token
        return hide(match, "key")

    text = TOKEN.sub(hide_key, text)
    return {"text": text, "found": dict(sorted(found.items()))}
