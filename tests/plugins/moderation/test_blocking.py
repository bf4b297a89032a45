"""Blocked words in every script: a table of (script, blocked, text, whether it is refused), to be made longer."""

from __future__ import annotations

import pytest

from plugins.moderation.blocking import BlockedWords

TABLE: list[tuple[str, list[str], str, bool]] = [
    ("whole words", ["ass"], "a class", False),
    ("compounds", ["darn"], "well-darn", True),
    ("another word", ["darn"], "darned", False),
    ("full width", ["darn"], "ｄａｒｎ", True),
    ("mathematical letters", ["darn"], "𝓭𝓪𝓻𝓷", True),
    ("phrases", ["very bad"], "Very,  BAD!", True),
    ("phrases in order", ["very bad"], "very good, bad", False),
    ("hyphens", ["mother-fucker"], "mother fucker", True),
    ("apostrophes", ["don't"], "don’t", True),
    ("underscores", ["darn"], "darn_it", True),
    ("nothing", [" ", "...", "\u200b"], "... \u200b", False),
    ("zero width", ["idiot"], "i\u200bd\u00adi\u2060ot", True),
    ("a grapheme joiner", ["idiot"], "idi\u034fot", True),
    ("a Hangul filler", ["idiot"], "idi\u3164ot", True),
    ("tags", ["idiot"], "idi\U000e0061ot", True),
    ("struck through", ["idiot"], "i\u0336d\u0336i\u0336o\u0336t\u0336", True),
    ("an accent is another letter", ["ano"], "feliz año", False),
    ("German", ["Straße"], "STRASSE", True),
    ("symbols are letters of the word", ["a$$"], "what a day", False),
    ("symbols", ["a$$"], "you A$$!", True),
    ("symbols at the end of a part of a word", ["a$$"], "an a$$et", False),
    ("symbols in full width", ["a$$"], "ａ＄＄", True),
    ("symbols at the beginning", ["$h1t"], "oh $H1T", True),
    ("symbols inside", ["sh!t"], "SH!T happens", True),
    ("symbols inside are not left out", ["sh!t"], "sht", False),
    ("stars", ["f***"], "the letter f", False),
    ("stars are there", ["f***"], "F*** off", True),
    ("C++", ["C++"], "vitamin C", False),
    ("emoji", ["🖕"], "oh 🖕", True),
    ("emoji in a shade", ["🖕"], "🖕🏿", True),
    ("emoji with a selector", ["🖕"], "🖕\ufe0f", True),
    ("another emoji", ["🖕"], "👍", False),
    ("a part of an emoji", ["👨"], "👨\u200d👩\u200d👧", False),
    ("flags", ["🇺🇸"], "🇦🇺🇸🇦", False),
    ("Hindi", ["मौत"], "मौत से डर", True),
    ("Hindi, another word", ["मौत"], "माता", False),
    ("Bengali, another word", ["মা"], "মাছ", False),
    ("Tamil, another word", ["மரம்"], "மரியாதை", False),
    ("Arabic with vowels", ["كلب"], "يا كَلْب", True),
    ("Arabic written with vowels", ["كَلْب"], "يا كلب", True),
    ("Arabic made longer", ["كلب"], "كـــلب", True),
    ("Arabic, presentation forms", ["كلب"], "ﻛﻠﺐ", True),
    ("Arabic, another word", ["كلب"], "كلبي", False),
    ("Hebrew with points", ["זונה"], "זוֹנָה", True),
    ("Chinese", ["傻瓜"], "你是傻瓜吗", True),
    ("Chinese, another word", ["傻瓜"], "你是西瓜吗", False),
    ("Japanese", ["バカ"], "このバカヤロー", True),
    ("Japanese, half width", ["バカ"], "ﾊﾞｶ", True),
    ("Thai", ["ควาย"], "ไอ้ควายเอ๊ย", True),
    ("Thai, not through a syllable", ["กา"], "ก่า", False),
    ("Khmer", ["ឆ្កែ"], "អាឆ្កែនេះ", True),
    ("Russian", ["дурак"], "Ты ДУРАК!", True),
    ("Greek", ["μαλάκας"], "ΜΑΛΆΚΑΣ", True),
    ("Cyrillic in a Latin word", ["idiot"], "you idi\u043et", True),
    ("Greek in a Latin word", ["idiot"], "you idi\u03bft", True),
    ("a Cyrillic word that looks like a Latin one", ["cop"], "\u0441\u043e\u0440", False),
    ("a Latin word with a Russian ending", ["darn"], "vip\u0430", False),
    ("Korean", ["바보"], "너는 바보!", True),
    ("Korean with a particle", ["바보"], "바보는 싫어", True),
    ("Korean with a long particle", ["바보"], "이 바보한테", True),
    ("Korean, another word", ["바보"], "바보상자", False),
    ("Korean of one syllable", ["개"], "개가", False),
    ("decomposed", ["café"], "cafe\u0301", True),
]


@pytest.mark.parametrize(("blocked", "text", "refused"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_blocked_words(blocked: list[str], text: str, refused: bool) -> None:
    assert BlockedWords(blocked).are_in(text) == refused
    assert BlockedWords(["never", *blocked]).are_in(f"so: {text}.") == refused
