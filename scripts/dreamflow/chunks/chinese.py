"""Chinese words and what kind of words they are, by the dictionary and hidden Markov model of jieba (MIT; in Rust)."""

from functools import lru_cache


@lru_cache(20_000)
def tagged(text: str) -> tuple[tuple[str, str], ...]:
    """(word, tag) of each word of a text without spaces; nouns have tags that begin with n, verbs with v."""
    import rjieba  # late: its dictionary takes 20 MB

    return tuple(rjieba.tag(text))
