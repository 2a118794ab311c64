"""Chats whose messages begin with a time are read in all locales, and logs of programs are no chats."""

import pytest
from dreamflow.chunks.readers import captions, stamped
from dreamflow.chunks.readers.message import Detail

IOS = {
    "[31/12/2024, 23:59:5{n}] ": "2024-12-31T23:59:51",
    "[12/31/24, 11:59:5{n} PM] ": "2024-12-31T23:59:51",
    "[31.12.24, 23:59:5{n}] ": "2024-12-31T23:59:51",
    "[2024-12-31, 23:59:5{n}] ": "2024-12-31T23:59:51",
    "[31.12.2024 klo 23.59.5{n}] ": "2024-12-31T23:59:51",
    "[24/12/31 下午11:59:5{n}] ": "2024-12-31T23:59:51",
    "[2024. 12. 31. 오후 11:59:5{n}] ": "2024-12-31T23:59:51",
    "[12/3/25, 2:32:1{n} p. m.] ": "12/3/25, 2:32:11 p. m.",  # the day is not certain
    "\u200e[1/2/24, 11:59:5{n}\u202fPM] ": "1/2/24, 11:59:51 PM",
}
ANDROID = {
    "12/31/24, 11:5{n} PM - ": "2024-12-31T23:51",
    "12/31/24, 11:5{n}\u202fAM - ": "2024-12-31T11:51",
    "31/12/24 23:5{n} - ": "2024-12-31T23:51",
    "31.12.2024, 23.5{n} - ": "2024-12-31T23:51",
    "2024/12/31 23:5{n} - ": "2024-12-31T23:51",
    "31/12/2024, 11:5{n} p. m. - ": "2024-12-31T23:51",
    "31/12/2024 à 23:5{n} - ": "2024-12-31T23:51",
    "١٢/٣١/٢٠٢٤، ١١:٥{n} م - ": "2024-12-31T23:51",
}


def said(text):
    assert stamped.recognises(text)
    (chat,) = stamped.read(text, Detail())
    assert [turn.start for turn in chat.turns] == [0, *(turn.end for turn in chat.turns[:-1])]
    assert chat.turns[-1].end == len(text)
    return [(turn.role, text[turn.content_start : turn.end].strip(), turn.time) for turn in chat.turns]


@pytest.mark.parametrize(("stamp", "second"), [*IOS.items(), *ANDROID.items()])
def test_whatsapp(stamp, second):
    program = f"{stamp.format(n=0)}Messages are encrypted\n" if stamp in ANDROID else ""
    text = (
        program + f"{stamp.format(n=1)}Ana Lee: hi\nsecond: line\n\nthird\n"
        f"{stamp.format(n=2)}\u202a+49 171 1\u202c: http://x.y: z\n"
        f"{stamp.format(n=3)}Bob 😀: \u200e<Media omitted>\n{stamp.format(n=4)}Ana Lee: \n"
    )
    found = said(text)
    assert found[0][:2] == ("system", "Messages are encrypted") or not program
    assert [turn[:2] for turn in found if turn[0] != "system"] == [
        ("Ana Lee", "hi\nsecond: line\n\nthird"),
        ("+49 171 1", "http://x.y: z"),
        ("Bob 😀", "\u200e<Media omitted>"),
        ("Ana Lee", ""),
    ]
    assert found[1 if program else 0][2] == second


OTHERS = {
    "telegram": ("Ana, [31.12.2024 23:59]\nhi\nBob, [01.01.2025 00:01]\nyo", ["Ana", "Bob"]),
    "discord": ("Ana — Yesterday at 11:59 PM\nhi\nBob — 12/31/2024 11:59 PM\nyo", ["Ana", "Bob"]),
    "discord exported": ("=====\nGuild: x\n=====\n\n[31-Dec-24 11:59 PM] ana#1\nhi\n\n[31-Dec-24 11:59 PM] bob\nyo",
                         ["text", "ana#1", "bob"]),
    "line": ("2024/12/31(火)\n10:00\t花子\tこんにちは\n10:01\t太郎\tはい", ["text", "花子", "太郎"]),
    "kakaotalk": ("[Ana] [오후 11:59] hi\n[Bob] [오후 11:59] yo", ["Ana", "Bob"]),
    "zoom": ("10:01:02\t From Ana Lee to Everyone:\n\thello\n10:02:02\t From Bob to Everyone : hi", ["Ana Lee", "Bob"]),
    "slack": ("Ana  10:05 AM\nhi\n\nBob APP  10:06 AM\nyo\n\nAna  10:07 AM\nok", ["Ana", "Bob", "Ana"]),
    "teams": ("Ana Lee   0:03\nhi\n\nBob   0:05\nyo\n\nAna Lee   1:03\nok", ["Ana Lee", "Bob", "Ana Lee"]),
    "hexchat": (
        "**** BEGIN LOGGING AT Tue Dec 31 12:00:00 2024\n\nDec 31 12:00:00 <ana>\thi\nDec 31 12:00:01 *\tbob waves",
        ["system", "ana", "bob"],
    ),
    "matrix": ("2024-12-31T11:59:59Z <ana> hi\n2024-12-31T12:00:00Z <bob> yo", ["ana", "bob"]),
    "irc without times": ("<ana> hi\n<@bob> yo\n<ana> ok", ["ana", "bob", "ana"]),
    "roles": ("[2026-01-02 10:00] User: hi\n[2026-01-02 10:01] Assistant: yo", ["user", "assistant"]),
}  # fmt: skip


@pytest.mark.parametrize(("text", "speakers"), OTHERS.values(), ids=OTHERS)
def test_other_chats(text, speakers):
    assert [role for role, *_ in said(text)] == speakers


@pytest.mark.parametrize(
    "text",
    [
        "User: hi\nAssistant: [10:00] see\n",
        "2024-01-01 10:00:00 INFO server: started\n2024-01-01 10:00:01 ERROR server: x\n",
        "10:00:00 INFO: started\n10:00:01 ERROR: stopped\n10:00:02 INFO: started\n",
        "<div> hi\n<p> yo</p>\n<b> ok\n",
        "# Notes\n\n- 12:00 lunch\n- 13:00 - work: mail\n",
        "1\n2\n",
    ],
)
def test_what_is_no_chat(text):
    assert not stamped.recognises(text)
    assert not captions.recognises(text)
