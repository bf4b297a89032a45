package hall

import (
	"bytes"
	"maps"
	"slices"

	"github.com/livekit/protocol/livekit"

	"relay-bot/native/relay-link/internal/pack"
)

const maxPresence = 256 << 10 // a message has to hold it

// member is what was told of a participant last.
type member struct {
	sid      string
	version  uint32
	presence []byte
}

// replaceRoster makes the roster the one given, and tells the differences.
func (s *Seat) replaceRoster(infos []*livekit.ParticipantInfo, before bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	here := make(map[string]bool, len(infos))
	for _, info := range infos {
		here[info.GetIdentity()] = true
	}
	for identity := range s.roster {
		if !here[identity] {
			s.leave(identity)
		}
	}
	for _, info := range infos {
		s.update(info, before)
	}
}

func (s *Seat) participant(info *livekit.ParticipantInfo) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.update(info, false)
}

// update applies what the SFU says of a participant; s.mu is held, so that it is told in order.
func (s *Seat) update(info *livekit.ParticipantInfo, before bool) {
	identity := info.GetIdentity()
	if s.ended || identity == "" || identity == s.own.GetIdentity() {
		return
	}
	known := s.roster[identity]
	if info.GetState() == livekit.ParticipantInfo_DISCONNECTED {
		if known != nil && known.sid == info.GetSid() {
			s.leave(identity)
		}
		return
	}
	if known != nil && known.sid != info.GetSid() { // they came again, and their going was not told
		s.leave(identity)
		known = nil
	}
	presence := appendPresence(nil, info)
	if len(presence) > maxPresence { // beyond LiveKit's own limits; without these no role is read from it
		info.Metadata, info.Attributes = "", nil
		presence = appendPresence(nil, info)
	}
	told := true
	switch {
	case known == nil:
		s.roster[identity] = &member{info.GetSid(), info.GetVersion(), presence}
		told = s.box.Joined(presence, before)
	case info.GetVersion() < known.version:
	case !bytes.Equal(known.presence, presence):
		known.version, known.presence = info.GetVersion(), presence
		told = s.box.Changed(presence)
	}
	if !told {
		s.overflowed()
	}
}

func (s *Seat) leave(identity string) {
	delete(s.roster, identity)
	s.dropStreams(identity)
	if !s.box.Left(identity) {
		s.overflowed()
	}
}

// appendPresence encodes a participant as the map that relay_bot.link.Presence is read from.
func appendPresence(b []byte, info *livekit.ParticipantInfo) []byte {
	permission := info.GetPermission()
	agent := info.GetKind() == livekit.ParticipantInfo_AGENT
	b = pack.AppendMap(b, 12)
	b = pack.AppendString(pack.AppendString(b, "identity"), info.GetIdentity())
	b = pack.AppendString(pack.AppendString(b, "sid"), info.GetSid())
	b = pack.AppendString(pack.AppendString(b, "name"), info.GetName())
	b = pack.AppendString(pack.AppendString(b, "metadata"), info.GetMetadata())
	b = pack.AppendMap(pack.AppendString(b, "attributes"), len(info.GetAttributes()))
	for _, key := range slices.Sorted(maps.Keys(info.GetAttributes())) { // in order, so that equal ones look equal
		b = pack.AppendString(pack.AppendString(b, key), info.GetAttributes()[key])
	}
	flags := []struct {
		name string
		set  bool
	}{
		{"active", info.GetState() == livekit.ParticipantInfo_ACTIVE},
		{"hidden", permission.GetHidden() || agent},
		{"can_publish", permission.GetCanPublish()},
		{"can_publish_data", permission.GetCanPublishData()},
		{"can_subscribe", permission.GetCanSubscribe()},
		{"can_update_metadata", permission.GetCanUpdateMetadata()},
	}
	for _, flag := range flags {
		b = pack.AppendBool(pack.AppendString(b, flag.name), flag.set)
	}
	b = pack.AppendArray(pack.AppendString(b, "tracks"), len(info.GetTracks()))
	for _, track := range info.GetTracks() {
		b = pack.AppendMap(b, 4)
		b = pack.AppendString(pack.AppendString(b, "sid"), track.GetSid())
		b = pack.AppendString(pack.AppendString(b, "kind"), trackKind(track.GetType()))
		b = pack.AppendString(pack.AppendString(b, "source"), trackSource(track.GetSource()))
		b = pack.AppendBool(pack.AppendString(b, "muted"), track.GetMuted())
	}
	return b
}

func trackKind(kind livekit.TrackType) string {
	if kind == livekit.TrackType_AUDIO {
		return "audio"
	}
	return "video"
}

func trackSource(source livekit.TrackSource) string {
	switch source {
	case livekit.TrackSource_CAMERA:
		return "camera"
	case livekit.TrackSource_MICROPHONE:
		return "microphone"
	case livekit.TrackSource_SCREEN_SHARE:
		return "screen_share"
	case livekit.TrackSource_SCREEN_SHARE_AUDIO:
		return "screen_share_audio"
	}
	return "unknown"
}
