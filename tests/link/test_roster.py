"""Contract of every link: what changes of those who are in the room."""

import pytest
from livekit import rtc
from livekit.protocol.models import ParticipantPermission
from livekit.protocol.room import MuteRoomTrackRequest

from relay_bot.link import Changed, Joined
from tests.link.world import Guest, Hall, Recorder, presence_of

pytestmark = pytest.mark.server


async def seated(hall: Hall) -> tuple[Guest, Recorder]:
    _, sink = await hall.bot()
    ann = await hall.guest("ann", name="Ann", attributes={"a": "1", "b": "2"})
    await sink.first(Joined)
    return ann, sink


async def test_a_name_changes(hall: Hall) -> None:
    _, sink = await seated(hall)
    await hall.update("ann", name="Anna")
    await sink.first(Changed, lambda changed: changed.presence.name == "Anna")


async def test_metadata_changes(hall: Hall) -> None:
    _, sink = await seated(hall)
    await hall.update("ann", metadata='{"role":"host"}')
    await sink.first(Changed, lambda changed: changed.presence.metadata == '{"role":"host"}')


async def test_attributes_are_set_and_removed(hall: Hall) -> None:
    _, sink = await seated(hall)
    await hall.update("ann", attributes={"relay.role": "host", "a": ""})
    await sink.first(Changed, lambda changed: changed.presence.attributes == {"b": "2", "relay.role": "host"})


async def test_a_participants_own_change_of_attributes_comes_too(hall: Hall) -> None:
    ann, sink = await seated(hall)
    permission = ParticipantPermission(
        can_publish=True, can_subscribe=True, can_publish_data=True, can_update_metadata=True
    )
    await hall.update("ann", permission=permission)
    await sink.first(Changed, lambda changed: changed.presence.can_update_metadata)
    await ann.room.local_participant.set_attributes({"a": "3"})
    await sink.first(Changed, lambda changed: changed.presence.attributes == {"a": "3", "b": "2"})


async def test_permissions_change(hall: Hall) -> None:
    _, sink = await seated(hall)
    await hall.update("ann", permission=ParticipantPermission(can_subscribe=True, can_publish_data=False))
    changed = await sink.first(Changed, lambda changed: not changed.presence.can_publish_data)
    assert (changed.presence.can_publish, changed.presence.can_subscribe) == (False, True)


async def test_tracks_are_published_muted_and_unpublished(hall: Hall) -> None:
    ann, sink = await seated(hall)
    publication = await ann.publish_audio()
    await sink.until(lambda: len(presence_of(sink, "ann").tracks) == 1)
    track = presence_of(sink, "ann").tracks[0]
    assert (track.sid, track.kind, track.source, track.muted) == (publication.sid, "audio", "microphone", False)
    voice = publication.track
    assert isinstance(voice, rtc.LocalAudioTrack)
    voice.mute()
    await sink.until(lambda: presence_of(sink, "ann").tracks[0].muted)
    voice.unmute()
    await sink.until(lambda: not presence_of(sink, "ann").tracks[0].muted)
    request = MuteRoomTrackRequest(room=hall.name, identity="ann", track_sid=track.sid, muted=True)
    await hall.api.room.mute_published_track(request)
    await sink.until(lambda: presence_of(sink, "ann").tracks[0].muted)
    await ann.room.local_participant.unpublish_track(publication.sid)
    await sink.until(lambda: presence_of(sink, "ann").tracks == ())


async def test_tracks_of_those_who_were_here_before(hall: Hall) -> None:
    ann = await hall.guest("ann")
    publication = await ann.publish_audio()
    _, sink = await hall.bot()
    await sink.until(lambda: [track.sid for track in presence_of(sink, "ann").tracks] == [publication.sid])
