"""Effects of plugins' own: declared, done beside each other, given up after bounds, not done by who lost the hall."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from relay_bot.hall import debts
from relay_bot.hall.core import MAX_DEAD
from relay_bot.hall.plugins import PluginsError, load_plugins
from relay_bot.hall.session import Session
from relay_bot.journal.batch import SessionInfo, Unavailable
from relay_bot.plugin import EffectFailed, RemoveParticipant, SetPermissions
from relay_bot.settings import EffectsSettings, GateSettings, Settings
from relay_bot.testing import HallKit, Refused
from tests.support.halls import UNLIMITED, open_hall


def settings(**effects: Any) -> Settings:
    return Settings(gate=GateSettings(rates=UNLIMITED), effects=EffectsSettings(**effects))


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    def pause(failures: int) -> float:
        return 0.01

    monkeypatch.setattr(debts, "pause", pause)


@pytest.fixture
async def kit(tmp_path: Path) -> AsyncGenerator[HallKit]:
    async with open_hall(tmp_path, "notify", "errands", settings=settings(attempts=5, attempt_seconds=5.0)) as made:
        module(made).told.clear()
        await made.join("ann")
        yield made


def module(kit: HallKit) -> Any:
    found: Any = sys.modules[kit.loaded["notify"].spec.plugin_type.__module__]
    return found


@pytest.fixture(autouse=True)
def _fresh() -> Generator[None]:
    yield
    for name, found in list(sys.modules.items()):
        if name.endswith(".notify") and hasattr(found, "behaviour"):
            for kept in (found.behaviour, found.told, found.attempts):
                kept.clear()


def settled(kit: HallKit) -> list[list[str | None]]:
    return msgspec.json.decode(kit.fingerprints()["notify"])["told"]


def core(kit: HallKit) -> Any:
    assert kit.hall.session is not None
    return kit.hall.session.core


# -- whose they are ------------------------------------------------------------------------------------


async def test_a_plugins_effect_is_done_by_its_own_function_with_its_settings(kit: HallKit) -> None:
    await kit.backend("tell", {"text": "hello"})
    await kit.until(lambda: settled(kit) == [["hello", None]])
    [(text, url, effect_id, attempt)] = module(kit).told
    assert (text, url, attempt) == ("hello", "http://backend", 1)
    assert effect_id
    await kit.settle()
    assert kit.fingerprints() == await kit.replayed()


async def test_what_is_owed_is_done_after_a_restart_under_the_same_id(kit: HallKit) -> None:
    module(kit).behaviour["hello"] = asyncio.Event()
    await kit.backend("tell", {"text": "hello"})
    await kit.until(lambda: module(kit).attempts == ["hello"])
    await kit.restart()
    await kit.until(lambda: len(module(kit).attempts) == 2)
    module(kit).behaviour["hello"].set()
    await kit.until(lambda: settled(kit) == [["hello", None]])
    assert len({told[2] for told in module(kit).told}) == 1


async def test_an_effect_that_nobody_declares_is_the_handlers_fault(
    kit: HallKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    effects = dict(module(kit).NotifyPlugin.effects)
    del effects[module(kit).Count]
    monkeypatch.setattr(module(kit).NotifyPlugin, "effects", effects)
    with pytest.raises(Refused, match="internal"):
        await kit.backend("add", {})
    assert core(kit).owed == {}


async def test_an_effect_that_could_not_be_read_back_is_not_owed(kit: HallKit) -> None:
    for wrong in ("one", None, [1], 1.5):
        with pytest.raises(Refused, match="internal"):
            await kit.backend("add", {"by": wrong})
    assert core(kit).owed == {}


async def test_the_effect_of_a_plugin_that_is_not_loaded_waits_for_it(kit: HallKit, tmp_path: Path) -> None:
    module(kit).behaviour["hello"] = RuntimeError("later")
    await kit.backend("tell", {"text": "hello"})
    loaded = kit._services.plugins
    without = {name: each for name, each in loaded.items() if name != "notify"}
    services = kit._services
    kit._services = msgspec.structs.replace(services, plugins=without)
    await kit.restart()
    assert [each.key for each in kit.hall.owed_effects()] == ["k"]
    assert [each.kind for each in kit.hall.owed_effects()] == [None]
    tried = len(module(kit).attempts)
    await asyncio.sleep(0.05)
    assert len(module(kit).attempts) == tried
    module(kit).behaviour.clear()
    kit._services = services
    await kit.restart()
    await kit.until(lambda: settled(kit) == [["hello", None]])


def test_two_plugins_cannot_have_effects_of_the_same_tag(tmp_path: Path) -> None:
    for tag, words in (("remove_participant", "the hall has it already"), ("same", "the plugin one has it already")):
        folder = tmp_path / tag
        folder.mkdir()
        for name in ("one", "two"):
            (folder / f"{name}.py").write_text(
                "from relay_bot.plugin import Effect, Plugin, State\n"
                f"class Mine(Effect, frozen=True, tag='{tag}'): ...\n"
                "async def do(effect: Mine, ctx: object) -> None: ...\n"
                f"class P{name}(Plugin[State]):\n    effects = {{Mine: do}}\n"
            )
        with pytest.raises(PluginsError, match=words):
            load_plugins({"path": [str(folder)], "two": {"required": True}}, tmp_path)


async def test_one_that_is_too_large_is_refused(kit: HallKit) -> None:
    with pytest.raises(Refused, match="too_large"):
        await kit.room.guests["ann"].ask("tell", {"text": "\x01" * 10_500})
    assert core(kit).owed == {}


async def test_old_journals_are_read(kit: HallKit) -> None:
    info = SessionInfo(1, 1)
    session = Session(info, kit._services.plugins, kit.hall)
    body = b'{"plugin":"errands","key":"k","effect":{"type":"remove_participant","identity":"ann"},"seq":1}'
    session.replay_row((1, 1, 5, "hall.effect_owed", body), {"hall": 0}, set())
    [(plugin, key, owed)] = session.core.debts()
    assert (plugin, key, owed.seq, owed.at) == ("errands", "k", 1, 0)
    assert msgspec.json.decode(owed.effect, type=RemoveParticipant) == RemoveParticipant("ann")


# -- beside each other ----------------------------------------------------------------------------------


async def test_one_that_hangs_delays_no_other(kit: HallKit) -> None:
    module(kit).behaviour["hangs"] = asyncio.Event()
    await kit.backend("tell", {"text": "hangs", "key": "a"})
    await kit.until(lambda: module(kit).attempts == ["hangs"])
    await kit.backend("grant", {"key": "k", "identity": "ann"})
    await kit.until(lambda: kit.room.effects == [SetPermissions("ann", can_publish=True)])
    await kit.backend("add", {"by": 3})
    await kit.backend("tell", {"text": "another", "key": "b"})
    await kit.until(lambda: {"count 3", "another"} <= set(module(kit).attempts))
    module(kit).behaviour["hangs"].set()


async def test_a_hundred_that_hang_delay_no_other_kind(kit: HallKit) -> None:
    module(kit).behaviour["hangs"] = asyncio.Event()
    for number in range(100):
        await kit.backend("tell", {"text": "hangs", "key": str(number)})
    await kit.until(lambda: len(module(kit).attempts) == 8)
    await kit.backend("add", {"by": 3})
    await kit.until(lambda: "count 3" in module(kit).attempts)
    module(kit).behaviour["hangs"].set()
    await kit.until(lambda: len(module(kit).told) == 100)


async def test_those_on_the_same_participant_stay_in_their_order(kit: HallKit) -> None:
    module(kit).behaviour["first"] = EffectFailed("not yet")
    await kit.backend("tell", {"text": "first", "key": "a", "identity": "ann"})
    await kit.backend("tell", {"text": "second", "key": "b", "identity": "ann"})
    await kit.backend("tell", {"text": "of another", "key": "c", "identity": "bob"})
    await kit.until(lambda: [told[0] for told in module(kit).told] == ["of another"])
    await kit.until(lambda: len(module(kit).attempts) >= 3)
    del module(kit).behaviour["first"]
    await kit.until(lambda: [told[0] for told in module(kit).told] == ["of another", "first", "second"])


# -- bounds ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (ValueError("what somebody wrote"), "ValueError at notify.py:"),
        (KeyError("x"), "KeyError at notify.py:"),
        (asyncio.CancelledError(), "it was cancelled"),
        (EffectFailed("the backend said 500"), "the backend said 500"),
    ],
)
async def test_after_the_bound_it_is_a_dead_letter(kit: HallKit, fault: BaseException, said: str) -> None:
    module(kit).behaviour["bad"] = fault
    await kit.backend("tell", {"text": "bad"})
    await kit.until(lambda: len(settled(kit)) == 1)
    [[text, error]] = settled(kit)
    assert (text, (error or "").startswith(said)) == ("bad", True)
    assert "somebody" not in str(error)
    assert len(module(kit).attempts) == 5
    assert core(kit).owed == {}
    [(plugin, key, dead)] = core(kit).given_up()
    assert (plugin, key, dead.attempts) == ("notify", "k", 5)
    assert [trouble.part for trouble in kit.hall.troubles()] == ["dead effects"]
    await kit.settle()
    await kit.restart()
    await asyncio.sleep(0.05)
    assert (len(module(kit).attempts), kit.hall.dead_effects) == (5, 1)
    assert kit.fingerprints() == await kit.replayed()


async def test_one_that_hangs_longer_than_the_limit_failed(tmp_path: Path) -> None:
    async with open_hall(tmp_path, "notify", settings=settings(attempts=2, attempt_seconds=0.02)) as kit:
        module(kit).behaviour["hangs"] = asyncio.Event()
        await kit.backend("tell", {"text": "hangs"})
        await kit.until(lambda: settled(kit) == [["hangs", "no answer within 0.02 s"]])
        assert module(kit).attempts == ["hangs"] * 2


async def test_one_that_is_too_old_is_given_up(tmp_path: Path) -> None:
    async with open_hall(tmp_path, "notify", settings=settings(max_age_seconds=0.001)) as kit:
        module(kit).behaviour["old"] = EffectFailed("no")
        await kit.backend("tell", {"text": "old"})
        await kit.until(lambda: settled(kit) == [["old", "no"]])
        assert len(module(kit).attempts) == 3


async def test_what_can_never_be_done_is_no_dead_letter(kit: HallKit) -> None:
    module(kit).behaviour["never"] = "nobody there"
    await kit.backend("tell", {"text": "never"})
    await kit.until(lambda: settled(kit) == [["never", "nobody there"]])
    assert (len(module(kit).attempts), kit.hall.dead_effects) == (1, 0)


async def test_a_newer_one_with_the_same_key_takes_the_place_of_a_dead_letter(kit: HallKit) -> None:
    module(kit).behaviour["bad"] = EffectFailed("no")
    await kit.backend("tell", {"text": "bad"})
    await kit.until(lambda: kit.hall.dead_effects == 1)
    await kit.backend("tell", {"text": "good"})
    await kit.until(lambda: settled(kit)[-1] == ["good", None])
    assert kit.hall.dead_effects == 0


async def test_dead_letters_are_bounded() -> None:
    from relay_bot.hall.core import CoreState, EffectDied, EffectOwed

    state = CoreState()
    for number in range(MAX_DEAD + 7):
        state.on_effect_owed(EffectOwed("p", str(number), msgspec.Raw(b"{}"), number))
        state.on_effect_died(EffectDied("p", str(number), number, "no", 1, 0))
    assert [dead.seq for _, _, dead in state.given_up()] == list(range(7, MAX_DEAD + 7))


# -- whose hall it is -----------------------------------------------------------------------------------


async def test_who_has_lost_the_session_does_nothing_more(kit: HallKit, tmp_path: Path) -> None:
    """Another bot claimed the session: the first one hears of it at its next effect, and does not do it."""
    assert kit.hall.session is not None
    module(kit).behaviour["late"] = EffectFailed("not yet")
    await kit.backend("tell", {"text": "late"})
    await kit.until(lambda: len(module(kit).attempts) >= 1)
    await kit.journal.claim(kit.hall.name, "RM_kit", 1, 10**12)
    await kit.until(lambda: kit.hall.status == "ended")
    tried = len(module(kit).attempts)
    module(kit).behaviour.clear()
    await asyncio.sleep(0.05)
    assert (len(module(kit).attempts), module(kit).told) == (tried, [])


async def test_what_is_under_way_is_stopped_when_the_claim_is_lost(kit: HallKit) -> None:
    module(kit).behaviour["slow"] = asyncio.Event()
    await kit.backend("tell", {"text": "slow"})
    await kit.until(lambda: module(kit).attempts == ["slow"])
    await kit.journal.claim(kit.hall.name, "RM_kit", 1, 10**12)
    kit.room.guests["ann"].send("add", {"by": 1}, "m-1")  # its commit is fenced
    await kit.until(lambda: kit.hall.status == "ended")
    module(kit).behaviour["slow"].set()
    await asyncio.sleep(0.05)
    assert (module(kit).told, module(kit).attempts) == ([], ["slow"])


async def test_while_nobody_can_tell_whose_the_hall_is_nothing_is_done(
    kit: HallKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unknown(session: SessionInfo) -> bool:
        raise Unavailable("told to fail")

    with monkeypatch.context() as broken:
        broken.setattr(kit.journal, "holds", unknown)
        await kit.backend("tell", {"text": "later"})
        await kit.until(lambda: any(each.error for each in kit.hall.owed_effects()))
        await asyncio.sleep(0.1)
        assert (module(kit).attempts, settled(kit)) == ([], [])
    await kit.until(lambda: settled(kit) == [["later", None]])
