"""Words in every script: a table of (script, text, words), to be made longer."""

from __future__ import annotations

import pytest

from relay_bot.text import graphemes, list_words

TABLE: list[tuple[str, str, list[str]]] = [
    ("English", "It's  a well-being thing, isn’t it?", ["it's", "a", "well-being", "thing", "isn't", "it"]),
    ("German", "Straße, STRASSE!", ["strasse", "strasse"]),
    ("French", "l’été à Paris", ["l'été", "à", "paris"]),
    ("Hindi", "हिन्दी में मौत", ["हिन्दी", "में", "मौत"]),
    ("Tamil", "தமிழ் மொழி", ["தமிழ்", "மொழி"]),
    ("Bengali", "বাংলা ভাষা", ["বাংলা", "ভাষা"]),
    ("Thai", "ฉันรักประเทศไทย", ["ฉัน", "รัก", "ประเทศไทย"]),
    ("Lao", "ພາສາລາວ", ["ພາສາ", "ລາວ"]),
    ("Khmer", "ខ្ញុំស្រឡាញ់អ្នក", ["ខ្ញុំ", "ស្រឡាញ់", "អ្នក"]),
    ("Burmese", "မြန်မာစာ", ["မြန်မာ", "စာ"]),
    ("Chinese", "我爱北京", ["我", "爱", "北京"]),
    ("Japanese", "東京に行きたい", ["東京", "に", "行き", "たい"]),
    ("Korean", "한국어 좋아요", ["한국어", "좋아요"]),
    ("Arabic", "كَلْب كلب", ["كلب", "كلب"]),
    ("Hebrew", "שלום עולם", ["שלום", "עולם"]),
    ("Persian", "می\u200cخواهم", ["میخواهم"]),
    ("Russian", "Ёлка и ёлка", ["ёлка", "и", "ёлка"]),
    ("Vietnamese", "Vie\u0323\u0302t Nam", ["việt", "nam"]),
    ("names of languages", "C++, C# F#; .NET c++", ["c++", "c#", "f#", ".net", "c++"]),
    ("joined by &", "R&D AT&T", ["r&d", "at&t"]),
    ("numbers", "3.5 10% +1 24/7 1+1", ["3.5", "10%", "+1", "24", "7", "1", "1"]),
    ("emoji", "yes 👍🏽👨‍👩‍👧❤️", ["yes", "👍🏽", "👨\u200d👩\u200d👧", "❤"]),
    ("flags", "🇺🇸🇩🇪", ["🇺🇸", "🇩🇪"]),
    ("punctuation", "… – , !", []),
]


@pytest.mark.parametrize(("text", "words"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_words(text: str, words: list[str]) -> None:
    assert [word.key for word in list_words(text)] == words


def test_a_word_keeps_how_it_is_written() -> None:
    assert [word.written for word in list_words("Straße ❤️ don’t")] == ["Straße", "❤️", "don’t"]


def test_graphemes() -> None:
    assert graphemes("हिe\u0301👍🏽") == ["हि", "e\u0301", "👍🏽"]
