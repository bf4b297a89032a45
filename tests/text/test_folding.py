"""Which texts are the same, and which are not: tables, to be made longer."""

from __future__ import annotations

import pytest

from relay_bot.text import emoji_key, fold_text, fold_to_match, is_emoji

SAME = [
    ("Cafe\u0301", "café"),
    ("Tee ", " tee"),
    ("ice  cream", "ICE\u00a0cream"),
    ("Straße", "STRASSE"),
    ("ΣΊΣΥΦΟΣ", "σίσυφος"),
    ("İstanbul", "istanbul"),
    ("❤", "❤\ufe0f"),
    ("id\u034fio\u200bt", "idiot"),
    ("\uac00", "\u1100\u1161"),
    ("می\u200cخواهم", "میخواهم"),
]
DIFFERENT = [
    (
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
        "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
    ),
    ("👩\u200d🚀", "👩🚀"),
    ("👍🏽", "👍"),
    ("x²", "x2"),
    ("año", "ano"),
    ("मौत", "माता"),
    ("a b", "ab"),
    ("C", "C++"),
]
ALIKE = [
    ("ｄａｒｎ", "darn"),
    ("ⓓⓐⓡⓝ", "darn"),
    ("𝓭𝓪𝓻𝓷", "darn"),
    ("don’t", "don't"),
    ("كَلْب", "كلب"),
    ("كـــلب", "كلب"),
    ("מִלָּה", "מלה"),
    ("d\u0336a\u0336rn", "darn"),
    ("🖕🏿", "🖕"),
    ("ﬁ", "fi"),
]
EMOJI = ["👍", "👍\ufe0f", "👍🏽", "❤", "❤️", "☺", "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
         "🇩🇪", "👩\u200d🚀", "👩\u200d❤\u200d👨", "1\ufe0f\u20e3", "#\u20e3", "\U0001faea", "\U0001faff"]  # fmt: skip
NO_EMOJI = ["", " ", "a", "1", "#", "well done", "\u200b", "\ufe0f", "\u200d", "👍👍", "👍 yes", "🇩", "\u2800", "=1",
            "<b>", ":)", ":+1:"]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), SAME)
def test_texts_that_are_the_same(one: str, other: str) -> None:
    assert fold_text(one) == fold_text(other) != ""


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_texts_that_are_not(one: str, other: str) -> None:
    assert fold_text(one) != fold_text(other)


@pytest.mark.parametrize(("one", "other"), [*SAME, *ALIKE])
def test_texts_that_a_filter_takes_for_the_same(one: str, other: str) -> None:
    assert fold_to_match(one) == fold_to_match(other) != ""


@pytest.mark.parametrize("pair", [("año", "ano"), ("schön", "schon"), ("मौत", "मत"), ("a$$", "a"), ("가", "각")])
def test_a_filter_keeps_letters_apart_that_are_others(pair: tuple[str, str]) -> None:
    assert fold_to_match(pair[0]) != fold_to_match(pair[1])


@pytest.mark.parametrize("text", EMOJI)
def test_an_emoji(text: str) -> None:
    assert is_emoji(text)
    assert emoji_key(text) == emoji_key(text + "\ufe0f")
    assert "\ufe0f" not in emoji_key(text)


@pytest.mark.parametrize("text", NO_EMOJI)
def test_no_emoji(text: str) -> None:
    assert not is_emoji(text)
