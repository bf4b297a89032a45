"""Who a certain sender is, and what they may do: by the signed token and the configuration alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from relay_bot.hall.roster import HallRoster, role_of
from relay_bot.link import Changed, Presence
from relay_bot.plugin import Refuse, Role
from relay_bot.settings import RoleSettings, Settings
from relay_bot.testing import HallKit
from tests.support.halls import open_hall

NOBODY = RoleSettings()


def presence(identity: str = "ann", name: str = "", **fields: Any) -> Presence:
    defaults: dict[str, Any] = {
        "metadata": "",
        "attributes": {},
        "active": True,
        "hidden": False,
        "can_publish": False,
        "can_publish_data": True,
        "can_subscribe": True,
        "can_update_metadata": False,
    }
    return Presence(identity, name, **(defaults | fields))


@pytest.mark.parametrize(
    ("attribute", "role"),
    [
        ("host", Role.HOST),
        ("moderator", Role.MODERATOR),
        ("speaker", Role.SPEAKER),
        ("viewer", Role.VIEWER),
        ("", Role.VIEWER),
        ("backend", Role.VIEWER),
        ("HOST", Role.VIEWER),
    ],
)
def test_the_attribute_gives_the_role(attribute: str, role: Role) -> None:
    assert role_of(presence(attributes={"relay.role": attribute}), NOBODY) is role


@pytest.mark.parametrize(
    ("metadata", "role"),
    [
        ('{"role":"host","displayName":"John Doe"}', Role.HOST),
        ('{"role":"guest"}', Role.SPEAKER),
        ('{"role":"viewer"}', Role.VIEWER),
        ('{"role":7}', Role.VIEWER),
        ('{"role":', Role.VIEWER),
        ('{"role":"\\ud800"}', Role.VIEWER),
        ('["host"]', Role.VIEWER),
        ("host", Role.VIEWER),
        ("", Role.VIEWER),
    ],
)
def test_the_metadata_of_the_interactive_show_gives_the_role(metadata: str, role: Role) -> None:
    assert role_of(presence(metadata=metadata), NOBODY) is role


def test_the_attribute_goes_before_the_metadata() -> None:
    both = presence(attributes={"relay.role": "speaker"}, metadata='{"role":"host"}')
    assert role_of(both, NOBODY) is Role.SPEAKER


def test_the_configured_identities_have_their_role() -> None:
    configured = RoleSettings(hosts=frozenset({"ann", "bob"}), moderators=frozenset({"bob", "carol"}))
    roles = [role_of(presence(identity), configured) for identity in ("ann", "bob", "carol", "dave")]
    assert roles == [Role.HOST, Role.HOST, Role.MODERATOR, Role.VIEWER]


@pytest.mark.parametrize(
    "own", [{"attributes": {"relay.role": "host"}}, {"metadata": '{"role":"host"}'}], ids=["attribute", "metadata"]
)
class TestWhoMayWriteTheirOwnMetadata:
    def test_gives_themselves_no_role(self, own: dict[str, Any]) -> None:
        assert role_of(presence(can_update_metadata=True, **own), NOBODY) is Role.VIEWER

    def test_keeps_a_role_that_the_configuration_gives(self, own: dict[str, Any]) -> None:
        configured = RoleSettings(hosts=frozenset({"ann"}))
        assert role_of(presence(can_update_metadata=True, **own), configured) is Role.HOST

    def test_gets_none_from_what_they_wrote_after_the_permission_was_taken_away(self, own: dict[str, Any]) -> None:
        roster = HallRoster(NOBODY)
        roster.put(presence(can_update_metadata=True), 0.0)
        roster.put(presence(can_update_metadata=True, **own))
        after = roster.put(presence(can_update_metadata=False, **own))
        assert after.role is Role.VIEWER

    def test_gets_none_by_joining_anew_with_what_they_wrote(self, own: dict[str, Any]) -> None:
        roster = HallRoster(NOBODY)
        roster.put(presence(can_update_metadata=True), 0.0)
        roster.remove("ann")
        after = roster.put(presence(**own), 1.0)
        assert after.role is Role.VIEWER


# -- in the hall --------------------------------------------------------------------------------------


async def role_in_hall(kit: HallKit, identity: str) -> str:
    return (await kit.room.guests[identity].ask("who_am_i", {}))["role"]


async def test_the_hall_knows_the_roles(tmp_path: Path) -> None:
    settings = Settings(roles=RoleSettings(hosts=frozenset({"bob"})))
    async with open_hall(tmp_path, settings=settings) as kit:
        await kit.join("ann", role="moderator")
        await kit.join("bob")
        await kit.join("carol", metadata='{"role":"host"}')
        await kit.join("dave", metadata='{"role":"host"}', can_update_metadata=True)
        found = [await role_in_hall(kit, identity) for identity in ("ann", "bob", "carol", "dave")]
        assert found == ["moderator", "host", "host", "viewer"]


async def test_a_role_changes_at_once(kit: HallKit) -> None:
    ann = await kit.join("ann")
    assert await role_in_hall(kit, "ann") == "viewer"
    kit.room.tell(Changed(msgspec.structs.replace(ann.presence, attributes={"relay.role": "host"})))
    assert await role_in_hall(kit, "ann") == "host"
    kit.room.tell(Changed(ann.presence))
    assert await role_in_hall(kit, "ann") == "viewer"


async def test_a_host_may_act_before_the_link_knows_them(kit: HallKit) -> None:
    """RPC names its sender from the first millisecond; the server API tells the role."""
    await kit.join("ann", role="host", name="Ann", known=False)
    assert await role_in_hall(kit, "ann") == "host"


async def test_a_packet_with_a_certain_sender_waits_for_its_role(kit: HallKit) -> None:
    ann = await kit.join("ann", role="moderator", known=False)
    ann.send("who_am_i", {}, "m1")
    answer = await ann.wait("ack")
    assert answer["result"] == {"identity": "ann", "role": "moderator", "inferred": False}


async def test_what_the_server_api_says_gives_no_role_to_who_may_write_it(kit: HallKit) -> None:
    await kit.join("ann", role="host", can_update_metadata=True, known=False)
    assert await role_in_hall(kit, "ann") == "viewer"


# -- names --------------------------------------------------------------------------------------------


def roster_of(*people: tuple[str, str]) -> HallRoster:
    roster = HallRoster(NOBODY)
    for identity, name in people:
        roster.put(presence(identity, name), 0.0)
    return roster


@pytest.mark.parametrize("called", ["ann", "ANN", "@ann", "Ann Lee", "ann lee", "@ANN LEE"])
def test_one_is_found_by_identity_or_name(called: str) -> None:
    assert roster_of(("ann", "Ann Lee"), ("bob", "Bob")).resolve(called).identity == "ann"


def test_an_exact_identity_does_not_go_before_a_name() -> None:
    roster = roster_of(("ann", "bob"), ("bob", "ann"))
    with pytest.raises(Refuse, match=r"which by identity: ann, bob \(ann\) \(as id:ann\)"):
        roster.resolve("bob")
    assert roster.resolve("id:bob").identity == "bob"


def test_a_name_of_two_is_asked_back() -> None:
    with pytest.raises(Refuse, match="which") as refusal:
        roster_of(("p2", "Ann"), ("p1", "ann")).resolve("Ann")
    assert refusal.value.code == "not_found"
    assert refusal.value.message.endswith("p1, p2")


@pytest.mark.parametrize("called", ["bob", "an", "", "@", " "])
def test_nobody_is_found(called: str) -> None:
    with pytest.raises(Refuse) as refusal:
        roster_of(("ann", "")).resolve(called)
    assert refusal.value.code == "not_found"


async def test_hidden_agents_are_not_listed_but_are_known(kit: HallKit) -> None:
    await kit.join("recorder", hidden=True)
    await kit.join("ann")
    assert [person.identity for person in kit.hall.roster] == ["ann"]
    assert kit.hall.roster.get("recorder") is None
    assert (await kit.room.guests["recorder"].ask("who_am_i", {}))["identity"] == "recorder"


def test_metadata_may_nest_as_deep_as_it_likes() -> None:
    deep = '{"role":"host","nested":' + "[" * 60_000
    assert role_of(presence(metadata=deep), NOBODY) is Role.VIEWER
