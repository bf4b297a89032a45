"""The commands of hosts and moderators."""

from pathlib import Path

from relay_bot.testing import Guest
from tests.plugins.hands.support import hall, queue, raised, refusal


async def said(host: Guest, text: str) -> str:
    return (await host.say(text))["notice"]


async def test_commands_drive_the_queue_and_the_stage(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        host = await kit.join("host", role="host")
        assert await said(host, "/hands") == "no hand is up"
        ann, *_ = await raised(kit, "ann", "bob", "cy")
        assert await said(host, "/hands") == "1. Ann (ann)\n2. Bob (bob)\n3. Cy (cy)"
        assert await said(host, "/lower Bob") == "lowered: Bob (bob)"
        assert await said(host, "/next") == "invited: Ann (ann)"
        await ann.ask("guest_invite_response", {"accepted": True})
        await ann.wait("guest_promoted")
        assert await said(host, "/invite @cy") == "invited: Cy (cy)"
        assert await said(host, "/stage") == "on the stage: Ann (ann)\ninvited: Cy (cy)"
        assert await said(host, "/demote Ann") == "off the stage: Ann (ann)"
        await ann.wait("guest_demoted")
        assert await said(host, "/lower all") == "lowered 1 hand"
        assert await said(host, "/hands close") == "no more hands can be raised"
        assert await said(host, "/hands") == "no hand is up (the queue is closed)"
        assert await said(host, "/hands open") == "hands can be raised"


async def test_an_ambiguous_name_is_asked_back(tmp_path: Path) -> None:
    async with hall(tmp_path, grace_seconds=60) as kit:
        host = await kit.join("host", role="host")
        first, second = [await kit.join(identity, name="Ann") for identity in ("ann-1", "ann-2")]
        for guest in (first, second):
            await guest.ask("hand_raise", {"raised": True})
        for command in ("/lower Ann", "/invite Ann"):
            asked = await refusal(host.say(command))
            assert asked.code == "not_found"
            assert "ann-1" in asked.payload["message"]
            assert "ann-2" in asked.payload["message"]
        second.leave()  # one of them has dropped, but keeps the place
        await kit.settle()
        assert (await refusal(host.say("/lower Ann"))).code == "not_found"
        assert await queue(kit) == ["ann-1", "ann-2"]
        await host.say("/lower ann-2")
        assert await queue(kit) == ["ann-1"]


async def test_names_with_spaces_and_quotes(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        host = await kit.join("host", role="host")
        guest = await kit.join("p1", name="Ann Lee")
        await guest.ask("hand_raise", {"raised": True})
        assert await said(host, '/lower "Ann Lee"') == "lowered: Ann Lee (p1)"
        assert await said(host, "/invite ann lee") == "invited: Ann Lee (p1)"


async def test_bad_commands_say_what_to_do(tmp_path: Path) -> None:
    async with hall(tmp_path) as kit:
        host = await kit.join("host", role="host")
        viewer = await kit.join("vic")
        for command, code in (
            ("/hands later", "malformed"),
            ("/invite", "malformed"),
            ("/lower", "malformed"),
            ("/invite zoe", "not_found"),
            ("/demote zoe", "not_found"),
            ("/demote vic", "not_found"),
            ("/lower vic", "not_raised"),
            ("/next", "not_raised"),
        ):
            assert (await refusal(host.say(command))).code == code, command
        for command in ("/hands", "/next", "/invite vic", "/lower all", "/stage", "/demote vic", "/hands close"):
            assert (await refusal(viewer.say(command))).code == "forbidden", command
