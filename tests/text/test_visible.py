"""What can be seen of a text, and what is left of it when it is shown: a table, to be made longer."""

from __future__ import annotations

import pytest

from relay_bot.text import clean_text, disturbs, is_blank, one_line

INVISIBLE = [
    ("nothing", ""),
    ("spaces", " \u00a0\u2003\u3000\n"),
    ("a zero-width space", "\u200b"),
    ("joiners", "\u200c\u200d"),
    ("a byte order mark", "\ufeff"),
    ("a blank Braille cell", "\u2800"),
    ("a Hangul filler", "\u3164"),
    ("the other Hangul fillers", "\u115f\u1160\uffa0"),
    ("tags without an emoji", "\U000e0067\U000e0062\U000e007f"),
    ("variation selectors", "\ufe0f\U000e0100"),
    ("a grapheme joiner", "\u034f"),
    ("a soft hyphen", "\u00ad"),
    ("Mongolian", "\u180e\u180b"),
    ("invisible mathematics", "\u2061\u2062\u2063\u2064"),
    ("annotation marks", "\ufff9\ufffa\ufffb"),
    ("what is free for invisible characters", "\u2065\U000e0fff"),
    ("no characters", "\ufdd0\uffff"),
    ("control characters", "\x00\x07\x9b"),
    ("a null notehead", "\U0001d159"),
]

SHOWN = [
    ("spaces", "  ice   cream ", "ice cream"),
    ("line breaks", "Pay\t\r\nnow\u2028!", "Pay now !"),
    ("a decomposed letter", "e\u0301", "é"),
    ("an override", "\u202egnp.exe\u202c", "gnp.exe"),
    ("marks of direction", "\u200f\u2067שלום\u2069", "שלום"),
    ("a private character", "\ue000c", "c"),
    ("England", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f", None),
    ("Scotland", "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f", None),
    ("text hidden in tags", "ok\U000e0068\U000e0069", "ok"),
    ("tags without an end", "🏴\U000e0067\U000e0062", "🏴"),
    ("a heart for emoji", "❤\ufe0f", None),
    ("bytes hidden in selectors", "❤\ufe0f\ufe00\ufe01", "❤\ufe0f"),
    ("a composed emoji", "👩\u200d🚀", None),
    ("a newer emoji than Python knows", "\U0001faea", None),
    ("an emoji to come", "\U0001faff", None),
    ("a letter newer than Python", "\U000323b0", None),
    ("Persian", "می\u200cخواهم", None),
    ("Hindi", "हिन्दी", None),
    ("Mongolian", "ᠮᠣᠩᠭᠣᠯ\u180b", None),
    ("an Arabic number sign", "\u0600١", None),
    ("symbols", "C++ ¬ ∑ ™ ½ ﷽", None),
    ("an old Hangul syllable", "\u1100\u1160", None),
]


@pytest.mark.parametrize("text", [text for _, text in INVISIBLE], ids=[name for name, _ in INVISIBLE])
def test_what_cannot_be_seen_is_empty(text: str) -> None:
    assert is_blank(text)
    assert one_line(text) == ""
    assert clean_text(text) == ""


@pytest.mark.parametrize(("text", "shown"), [row[1:] for row in SHOWN], ids=[row[0] for row in SHOWN])
def test_what_can_be_shown_stays(text: str, shown: str | None) -> None:
    assert not is_blank(text)
    assert one_line(text) == (text if shown is None else shown)


def test_a_text_of_several_lines_keeps_them() -> None:
    assert clean_text(" a\r\nb\tc\rd\x00\x9b ") == "a\nb\tc\nd"


@pytest.mark.parametrize("mark", ["\x00", "\x1b[31m", "\x7f", "\u200e", "\u061c", "\u202e", "\u2066"])
def test_marks_that_deceive(mark: str) -> None:
    assert disturbs(f"a{mark}b")
    assert not disturbs("a\nb\tc – 👩\u200d🚀")
