"""An anonymous poll stores no way back from a vote to a voter. The attack below finds every one while it is open."""

from __future__ import annotations

import base64
import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from plugins.polls.sealing import unseal, voter_of
from relay_bot.testing import Guest, HallKit, Refused

VOTES = {"voter-anna-7361": 0, "voter-bert-9952": 1, "voter-cleo-1187": 1, "voter-dora-5548": 2}


async def _open(kit: HallKit, host: Guest, **more: Any) -> list[Guest]:
    asked = {"poll_id": "p", "question": "Who?", "options": ["x", "y", "z"], "anonymous": True}
    await host.ask("poll", asked | more)
    return [await kit.join(identity) for identity in VOTES]


async def _vote(voters: list[Guest]) -> None:
    for guest in voters:
        await guest.ask("poll_response", {"poll_id": "p", "option": VOTES[guest.identity]}, f"id-{guest.identity}")


def _files(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.glob("relay.db*")))


def _sealed(folder: Path) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(f"{(folder / 'relay.db').as_uri()}?mode=ro", uri=True)) as connection:
        rows = connection.execute("SELECT body FROM events WHERE kind = 'polls.sealed_vote' ORDER BY seq").fetchall()
    return [msgspec.json.decode(body) for (body,) in rows]


def _attack(folder: Path) -> dict[str, int]:
    """Try every 32 bytes anywhere in the files as the key, for everybody who was there."""
    data = _files(folder)
    events = {event["voter"]: base64.b64decode(event["sealed"]) for event in _sealed(folder)}
    found: dict[str, int] = {}
    for at in range(len(data) - 31):
        window = data[at : at + 32]
        if window.count(0) > 8:
            continue
        for identity in VOTES:
            voter = voter_of(window, identity)
            if voter in events:
                found[identity] = unseal(window, voter, events[voter]).choices[0]
    return found


async def test_no_key_no_voter_and_no_choice_is_left_in_the_files(
    kit: HallKit, host: Guest, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    voters = await _open(kit, host)
    await _vote(voters)
    await kit.restart()  # which leaves snapshots of the state as well
    await _vote(voters[:1])
    await kit.settle()
    session = kit.hall.session
    assert session is not None
    (key,) = session.secrets.values()
    assert _attack(tmp_path) == VOTES

    await host.ask("poll_close", {"poll_id": "p"})
    await kit.settle()
    await kit.stop()
    with closing(sqlite3.connect(tmp_path / "relay.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert _attack(tmp_path) == {}
    state = session.plugins["polls"].state.polls["p"]
    assert (state.sealed, state.ballots, state.inferred) == ({}, {}, set())
    data = _files(tmp_path)
    for told in (key, key.hex().encode(), base64.b64encode(key)):
        assert told not in data
    logged = capfd.readouterr()
    with closing(sqlite3.connect(tmp_path / "relay.db")) as connection:
        # Who is here is kept, of whoever is; nothing else names one who voted.
        rows = connection.execute("SELECT kind, body FROM events WHERE kind != 'hall.told'").fetchall()
        rows += connection.execute("SELECT plugin, state FROM snapshots WHERE plugin != 'hall'").fetchall()
        rows += connection.execute("SELECT key, answer FROM answers").fetchall()
    for identity in VOTES:
        assert all(identity.encode() not in bytes(body) for _, body in rows)
        assert identity not in logged.out + logged.err
        assert hashlib.blake2b(identity.encode(), digest_size=16).digest() not in data
    await kit.start()
    assert (await kit.call("polls", "get_poll", poll_id="p"))["counts"] == [1, 2, 1]


async def test_sealed_ballots_of_a_poll_are_all_alike_in_size(kit: HallKit, host: Guest, tmp_path: Path) -> None:
    voters = await _open(kit, host, kind="text", options=[], max_length=40)
    for guest, text in zip(voters, ["a", "ü" * 40, '"' * 40, "\U0001f600" * 40], strict=True):
        await guest.ask("poll_response", {"poll_id": "p", "text": text})
    assert len({len(event["sealed"]) for event in _sealed(tmp_path)}) == 1
    await voters[0].ask("poll_response", {"poll_id": "p", "text": "a"})
    assert len(_sealed(tmp_path)) == len(voters)


async def test_the_same_vote_is_sealed_anew_each_time(kit: HallKit, host: Guest, tmp_path: Path) -> None:
    voters = await _open(kit, host)
    for option in (0, 1, 0):
        await voters[0].ask("poll_response", {"poll_id": "p", "option": option})
    sealed = [event["sealed"] for event in _sealed(tmp_path)]
    assert len(set(sealed)) == len(sealed) == 3


@pytest.mark.parametrize("end", ["poll_close", "poll_discard", "time", "room"])
async def test_every_way_to_end_destroys_the_key(kit: HallKit, host: Guest, tmp_path: Path, end: str) -> None:
    voters = await _open(kit, host, duration_seconds=0.3 if end == "time" else 60)
    if end != "time":
        await _vote(voters)
    session = kit.hall.session
    assert session is not None
    assert session.secrets
    if end == "room":
        kit.close_room()
        await kit.until(lambda: kit.hall.status == "ended")
    elif end == "time":
        await host.wait("poll_closed")
    else:
        await host.ask(end, {"poll_id": "p"})
    assert session.secrets == {}
    with closing(sqlite3.connect(tmp_path / "relay.db")) as connection:
        assert connection.execute("SELECT count(*) FROM secrets").fetchone() == (0,)
    assert _attack(tmp_path) == {}
    if end == "room":
        await kit.stop()
        await kit.start()


async def test_what_is_exported_and_listed_names_nobody(kit: HallKit, host: Guest) -> None:
    await _vote(await _open(kit, host))
    for closed in (False, True):
        if closed:
            await host.ask("poll_close", {"poll_id": "p"})
        with pytest.raises(Refused, match="anonymous"):
            await kit.call("polls", "list_votes", poll_id="p")
        with pytest.raises(Refused, match="anonymous"):
            await kit.call("polls", "export_poll", poll_id="p", part="votes")
        for form in ("csv", "json", "html"):
            file = await kit.call("polls", "export_poll", poll_id="p", format=form)
            content = base64.b64decode(file["content"]).decode()
            assert "Who?" in content
            assert not any(identity in content for identity in VOTES)


async def test_votes_are_recognised_without_names(kit: HallKit, host: Guest) -> None:
    anna, *_ = await _open(kit, host, allow_revote=False)
    await anna.ask("poll_response", {"poll_id": "p", "option": 0})
    await anna.ask("poll_response", {"poll_id": "p", "option": 0})
    await kit.restart()
    (poll,) = (await anna.ask("sync", {}))["polls"]
    assert (poll["my_vote"], poll["results"]["counts"]) == ([0], [1, 0, 0])
    with pytest.raises(Refused, match="already_voted"):
        await anna.ask("poll_response", {"poll_id": "p", "option": 1})
    assert (await kit.call("polls", "get_poll", poll_id="p"))["counts"] == [1, 0, 0]


async def test_a_closed_one_cannot_be_reopened_but_asked_again(kit: HallKit, host: Guest) -> None:
    voters = await _open(kit, host)
    await _vote(voters)
    await host.ask("poll_close", {"poll_id": "p"})
    with pytest.raises(Refused, match="forbidden"):
        await host.ask("poll_reopen", {"poll_id": "p"})
    again = await kit.call("polls", "rerun_poll", poll_id="p", new_poll_id="p2")
    assert (again["rerun_of"], again["round"], again["anonymous"], again["counts"]) == ("p", 2, True, [0, 0, 0])
    assert (await kit.call("polls", "get_poll", poll_id="p"))["counts"] == [1, 2, 1]


async def test_a_ranking_keeps_results_but_no_single_ranking(kit: HallKit, host: Guest) -> None:
    voters = await _open(kit, host, kind="ranking")
    for guest, ranking in zip(voters, ([0, 1, 2], [0, 2, 1], [1, 0, 2], [2, 1, 0]), strict=True):
        await guest.ask("poll_response", {"poll_id": "p", "ranking": ranking})
    before = await kit.call("polls", "get_poll", poll_id="p")
    await host.ask("poll_close", {"poll_id": "p"})
    after = await kit.call("polls", "get_poll", poll_id="p")
    assert (before["borda"], before["irv"]) == (after["borda"], after["irv"])
    state = kit.fingerprints()["polls"].decode()
    assert '"rankings":{}' in state
    assert '"0,2,1"' not in state


@pytest.mark.parametrize("drop", [False, True])
async def test_votes_of_those_who_left(tmp_path: Path, drop: bool) -> None:
    settings = {"votes_of_leavers": "drop" if drop else "keep", "grace_seconds": 0}
    async with HallKit.open(tmp_path, {"polls": settings}) as kit:
        host = await kit.join("host", role="host")
        voters = await _open(kit, host)
        await host.ask("poll", {"poll_id": "named", "question": "Who?", "options": ["x", "y"]})
        for guest in voters:
            await guest.ask("poll_response", {"poll_id": "named", "option": 1})
        await _vote(voters)
        voters[1].leave()
        await kit.settle()
        await kit.restart()
        anonymous = await kit.call("polls", "get_poll", poll_id="p")
        named = await kit.call("polls", "get_poll", poll_id="named")
        assert anonymous["counts"] == ([1, 1, 1] if drop else [1, 2, 1])
        assert named["counts"] == ([0, 3] if drop else [0, 4])
        assert anonymous["total_voters"] == named["total_voters"] == (3 if drop else 4)
        assert kit.fingerprints() == await kit.replayed()


async def test_a_session_that_is_opened_again_knows_each_own_vote(kit: HallKit, host: Guest) -> None:
    """As after a failure, or an erasure: nobody joins, and nothing else asks for the key."""
    voters = await _open(kit, host)
    await _vote(voters)
    await host.ask("poll", {"poll_id": "other", "question": "?", "options": ["x", "y"]})
    gone = await kit.join("gone")
    await gone.ask("poll_response", {"poll_id": "other", "option": 0})
    gone.leave()
    await host.ask("poll_discard", {"poll_id": "other"})
    before = kit.hall.session
    await kit.hall.erase("gone")
    assert kit.hall.session is not before
    for guest in voters:
        [poll] = (await guest.ask("sync", {}))["polls"]
        assert poll["my_vote"] == [VOTES[guest.identity]]
        assert poll["results"]["counts"] == [1, 2, 1]
    await voters[0].ask("poll_response", {"poll_id": "p", "option": 1})
    assert (await host.wait("poll_results", lambda said: said["counts"] == [0, 3, 1]))["total_voters"] == 4
