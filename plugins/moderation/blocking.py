"""Blocked words: which texts have one of them, in any script and however it is hidden. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import regex

from relay_bot.plugin import fold_to_match, graphemes, unmixed

_UNSPACED: Final = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"
"""Scripts written without spaces: a word stands anywhere in them."""
_LETTER: Final = rf"[[\p{{L}}\p{{M}}\p{{N}}]--[{_UNSPACED}]]"
"""What a word of the other scripts goes on with."""
_BETWEEN: Final = r"[^\p{L}\p{M}\p{N}]+"
_HANGUL_END: Final = regex.compile(r"\p{Hangul}{2}$")
_PARTICLES: Final = """
    은 는 이 가 을 를 의 에 도 만 들 야 아 와 과 로
    으로 에게 한테 에서 까지 부터 보다 처럼 이나 이랑 랑 이야 이다 입니다
"""
"""What Korean hangs on a word; behind a word of one syllable it may well be another word."""
_GAPS: Final = regex.compile(r"[\s\-_]+")
_EDGES: Final = ".,;:!?…\"“”„'()"
"""Punctuation around a blocked word that is not a part of it."""
_BEGINS_A_WORD: Final = regex.compile(_LETTER, regex.VERSION1)


class BlockedWords:
    """Words and phrases that no text may have.

    They are found as whole words, whatever the case, the accents' form, vowel points, width or invisible characters; in
    scripts without spaces anywhere; in Latin words also with letters of other scripts that look so; symbols and emoji
    as they are (an emoji in every shade).
    """

    def __init__(self, texts: Iterable[str]) -> None:
        patterns = [pattern for text in texts if (pattern := _pattern(text))]
        self._found = regex.compile("|".join(patterns), regex.VERSION1) if patterns else None

    def __bool__(self) -> bool:
        return self._found is not None

    def are_in(self, text: str) -> bool:
        """Tell whether a text has one of them."""
        if self._found is None:
            return False
        folded = fold_to_match(text)
        return self._are_in(folded) or ((latin := unmixed(folded)) != folded and self._are_in(latin))

    def _are_in(self, folded: str) -> bool:
        assert self._found is not None
        if self._found.search(folded) is None:
            return False
        if folded.isascii():
            return True
        edges = _edges(folded)
        return any({found.start(), found.end()} <= edges for found in self._found.finditer(folded, overlapped=True))


def _pattern(text: str) -> str:
    parts = [part for each in _GAPS.split(fold_to_match(text)) if (part := each.strip(_EDGES))]
    if not parts:
        return ""
    middle = _BETWEEN.join(regex.escape(part, special_only=False) for part in parts)
    before = rf"(?<!{_LETTER})" if _is_bounded(parts[0], parts[0][0]) else ""
    behind = rf"{_hung_on(parts[-1])}(?!{_LETTER})" if _is_bounded(parts[-1], parts[-1][-1]) else ""
    return f"{before}{middle}{behind}"


def _hung_on(part: str) -> str:
    return f"(?:{'|'.join(map(fold_to_match, _PARTICLES.split()))})?" if _HANGUL_END.search(part) else ""


def _is_bounded(part: str, edge: str) -> bool:
    """Tell whether a part must end here: with its letter, or with a symbol that belongs to letters (`a$$`)."""
    if _BEGINS_A_WORD.match(edge):
        return True
    return edge.isascii() and _BEGINS_A_WORD.search(part) is not None


def _edges(text: str) -> set[int]:
    """Give the places between the characters that a reader sees: no flag or syllable is cut in two."""
    edges, at = {0}, 0
    for cluster in graphemes(text):
        at += len(cluster)
        edges.add(at)
    return edges
