"""What a form has where an answer is to be written: "0.NN", "<n>", "___", "...". A form that is sent back like that is
no answer, though "0.NN" begins with a number."""

import re

NOT_FILLED_IN = "the form was not filled in"

_LETTERS = r"(?:n{1,4}|x{1,4}|y{1,4}|d{1,4}|xy|ab)"
# In place of decimals: "0.NN", "0.[xx]".
LETTERED = rf"[.,][<\[({{]?{_LETTERS}[>\])}}]?(?![a-z0-9])"
# After a whole number: its decimals are missing, or a zero ends in dots ("0...", "0…").
NO_DECIMALS = rf"(?:{LETTERED}|(?<![1-9])(?:\.{{2,}}|…)[ \t]*(?=$|[\n)\]}}|,;]))"
# After a number: a range begins ("0..1", "0 <= x", "0 (bad) to 9 (good)").
RANGE_BEGINS = r"(?:\ *(?:\.{2,}|…)\ *[0-9]|\ *(?:<=?|≤)\ *[a-z]+\ *(?:<=?|≤)|\ ?\([^()\n0-9]{1,40}\)\ ?to\ ?[0-9])"
NUMBER = re.compile(rf"[-+]?[0-9]*{NO_DECIMALS}", re.I)
_WORDS = r"(?:(?:an?|the|your)\ )?(?:number|value|float|score|viability)(?=[^\w\n]*(?:$|\n|tier\b|confidence\b))"
# In place of a whole number or a word; nothing but its best value may follow in its line.
BLANK = rf"(?:<[^<>\n]{{1,60}}>|\{{?(?:{_WORDS}|(?:{_LETTERS}|\?+|\.{{2,}}|…)(?![a-z0-9]|[.,][0-9])))"

_NUMBER_FIELD = re.compile(rf"""[\s"'`*]*(?:{BLANK}|{NUMBER.pattern}|[._#?…]*)[\s"'`*]*""", re.I)
_TEXT_FIELD = re.compile(r"\s*(?:[.…_]*|<[^<>]{1,60}>|\[[^\[\]]{1,60}\])\s*")
_RUN = re.compile(r"(?<=[:=|.,])([ \t]?)(_+|\#+|\?+)(?![\w.(]|\*+\w)")
_EMPHASIS = 300  # characters before the end of an emphasis in which its beginning is looked for
_REASONS = re.compile(
    r"[\[<{(]\s*(?:(?:your|the|a|an|one|brief|short|clear|detailed|decisive)\s+){0,3}"
    r"(?:reason(?:s|ing)?|rationale|justification|explanation|sentences?|text)(?:\s+here)?\s*[.:]?\s*[\]>})]\.?",
    re.I,
)


def is_blank_number(text: str) -> bool:
    """Whether no number was written into a field: "0.NN", "<n>", "__", "X" or nothing."""
    return _NUMBER_FIELD.fullmatch(text) is not None


def is_blank_text(text: str) -> bool:
    """Whether no words were written into a field: "…", "<label>", "[topic]", "__" or nothing."""
    return _TEXT_FIELD.fullmatch(text) is not None


def are_blank_reasons(text: str) -> bool:
    """Whether reasons are only the field of a form: "[reasoning]", "<one short reason>"."""
    return _REASONS.fullmatch(text.strip()) is not None


def with_letters(text: str) -> str:
    """`text` with "N" for each character of a blank such as "Score: __" or "0.##", which would be taken for Markdown.
    All positions stay the same. A mark that closes an emphasis ("__Score:__ 7") or a heading stays, too."""

    def lettered(match: re.Match[str]) -> str:
        line = text[max(match.start() - _EMPHASIS, 0) : match.start()].rpartition("\n")[2]
        closes = match[2][0] != "?" and line.count(match[2]) % 2
        return match[0] if closes else match[1] + "N" * len(match[2])

    return _RUN.sub(lettered, text)
