"""Whom a name means."""

from __future__ import annotations

import pytest

from relay_bot.commands.names import find_person
from relay_bot.plugin import Refuse

PEOPLE = [
    ("alice", "Alice Smith"),
    ("u99", "alice"),
    ("u1", "Ana"),
    ("u2", "Ana Lopez"),
    ("u3", "Jose\u0301"),
    ("u4", 'Tim "Boss" Hill'),
    ("u5", "O'Brien"),
    ("u6", ""),
    ("U7", "Zed Smith"),
    ("u8", "Иван"),
    ("u9", "Mia\u200b  May"),
    ("u10", "'t Hooft"),
    ("u11", "@dot"),
]


@pytest.mark.parametrize(
    ("line", "identity", "rest"),
    [
        ("Ana Lopez rude", "u2", " rude"),
        ("ana  LOPEZ\trude", "u2", "\trude"),
        ("Ana rude", "u1", " rude"),
        ("“Ana Lopez” rude", "u2", " rude"),
        ("“Ana Lopez“", "u2", ""),
        ("”Ana Lopez” rude", "u2", " rude"),
        ("„Ana Lopez“", "u2", ""),
        ("«Ana Lopez»", "u2", ""),
        ("»Ana Lopez«", "u2", ""),
        ("‹Ana Lopez›", "u2", ""),
        ("「Ana Lopez」", "u2", ""),
        ("『Ana Lopez』x", "u2", "x"),
        ("'Ana Lopez' rude", "u2", " rude"),
        ("’Ana Lopez’ rude", "u2", " rude"),
        ("‘Ana Lopez’", "u2", ""),
        ("＂Ana Lopez＂", "u2", ""),
        ('"Ana" Lopez', "u1", " Lopez"),
        ('@"Ana Lopez" x', "u2", " x"),
        ("@Ana Lopez", "u2", ""),
        ("@u6", "u6", ""),
        ("José x", "u3", " x"),
        ("JOSE\u0301", "u3", ""),
        ('Tim "Boss" Hill x', "u4", " x"),
        (r'"Tim \"Boss\" Hill"', "u4", ""),
        ("'Tim \"Boss\" Hill'", "u4", ""),
        ("O'Brien", "u5", ""),
        ("'O'Brien' x", "u5", " x"),
        ("'t Hooft x", "u10", " x"),
        ("@dot", "u11", ""),
        ("zed smith spam", "U7", " spam"),
        ("\u00a0\u200bu7", "U7", ""),
        ("Ivan\u200b", None, ""),
        ("иван", "u8", ""),
        ("Mia May", "u9", ""),
        ("id:alice x", "alice", " x"),
        ("Alice Smith", "alice", ""),
        ("u99", "u99", ""),
        ("Аna x", "u1", " x"),
    ],
)
def test_the_longest_name_that_fits(line: str, identity: str | None, rest: str) -> None:
    if identity is None:
        with pytest.raises(Refuse, match="nobody here is called"):
            find_person(line, PEOPLE)
        return
    found = find_person(line, PEOPLE)
    assert (found.identity, line[found.end :]) == (identity, rest)


@pytest.mark.parametrize("line", ["alice", "ALICE", '"alice"', "@alice", "аlice", "ali\u200bce", "ａlice"])
@pytest.mark.parametrize(("whole", "absent"), [(False, False), (False, True), (True, False)])
def test_more_than_one_is_always_asked_back(line: str, whole: bool, absent: bool) -> None:
    with pytest.raises(Refuse, match=r"say which by identity: alice \(Alice Smith\), u99 ") as refused:
        find_person(line, PEOPLE, whole=whole, absent=absent)
    assert "id:alice" in refused.value.message


@pytest.mark.parametrize(
    ("line", "identity"),
    [
        ("Zed spam", "Zed"),
        ("zed2", "zed2"),
        ('"Zed Smithers" spam', "Zed Smithers"),
        ("@gone x", "gone"),
        ("id:gone", "gone"),
        ("Zed Smith spam", "U7"),
    ],
)
def test_what_fits_nobody_may_be_an_identity(line: str, identity: str) -> None:
    assert find_person(line, PEOPLE, absent=True).identity == identity


@pytest.mark.parametrize("line", ["Ana Lopez rude", "Ana Lopes", "Ana, Ana Lopez"])
def test_a_whole_line_is_one_name(line: str) -> None:
    with pytest.raises(Refuse, match="nobody here is called"):
        find_person(line, PEOPLE, whole=True)
    assert find_person(" “Ana Lopez” ", PEOPLE, whole=True).identity == "u2"


def test_others_are_looked_among_where_nobody_fits() -> None:
    assert find_person("Ana", [("gone", "Ana")], otherwise=PEOPLE).identity == "gone"
    assert find_person("Ana", [("gone", "Bob")], otherwise=PEOPLE).identity == "u1"
