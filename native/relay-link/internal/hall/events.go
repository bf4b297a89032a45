package hall

import (
	"time"

	"github.com/livekit/protocol/livekit"
	lksdk "github.com/livekit/server-sdk-go/v2"
	"github.com/pion/webrtc/v4"
)

// events is what the SDK's engine calls. Much of it is of no concern to a participant without media.
type events struct{ seat *Seat }

// OnRoomJoined comes with every join, the first and those that mend a broken connection, before any packet.
func (e events) OnRoomJoined(
	room *livekit.Room,
	own *livekit.ParticipantInfo,
	others []*livekit.ParticipantInfo,
	_ *livekit.ServerInfo,
	_ []byte,
) {
	s := e.seat
	s.listen()
	s.mu.Lock()
	s.own = own
	if room.GetSid() != "" {
		s.sid = room.GetSid()
	}
	first := !s.joined
	s.mu.Unlock()
	s.replaceRoster(others, first)
}

func (e events) OnRoomUpdate(room *livekit.Room) {
	e.seat.mu.Lock()
	defer e.seat.mu.Unlock()
	if room.GetSid() != "" {
		e.seat.sid = room.GetSid()
	}
}

// OnRoomMoved puts us and those listed into another room.
func (e events) OnRoomMoved(moved *livekit.RoomMovedResponse) {
	e.OnRoomUpdate(moved.GetRoom())
	e.seat.interrupt()
	e.seat.replaceRoster(moved.GetOtherParticipants(), false)
	e.seat.mended()
}

func (e events) OnParticipantUpdate(infos []*livekit.ParticipantInfo) {
	for _, info := range infos {
		e.seat.participant(info)
	}
}

func (e events) OnDisconnected(lksdk.DisconnectionReason) {
	reason := livekit.DisconnectReason(e.seat.reason.Load())
	if reason == livekit.DisconnectReason_UNKNOWN_REASON {
		e.seat.lose("network", "the connection could not be mended", false)
		return
	}
	e.seat.lose(lostReason(reason), reason.String(), false)
}

func (e events) OnRestarting() { e.seat.interrupt() }
func (e events) OnResuming()   { e.seat.interrupt() }
func (e events) OnResumed()    { e.seat.mended() }
func (e events) OnRestarted(*livekit.Room, *livekit.ParticipantInfo, []*livekit.ParticipantInfo) {
	go e.seat.mendedOnceOpen() // the engine waits for this call before it connects the new channels
}

// All packets come by `listen`, which sees how they were sent; the engine's own way is not used.

func (e events) OnDataPacket(string, lksdk.DataPacket)                              {}
func (e events) OnRpcRequest(string, string, string, string, time.Duration, uint32) {}
func (e events) OnRpcAck(string)                                                    {}
func (e events) OnRpcResponse(string, *string, *lksdk.RpcError)                     {}
func (e events) OnStreamHeader(*livekit.DataStream_Header, string)                  {}
func (e events) OnStreamChunk(*livekit.DataStream_Chunk)                            {}
func (e events) OnStreamTrailer(*livekit.DataStream_Trailer)                        {}
func (e events) OnTranscription(*livekit.Transcription)                             {}

func (e events) OnMediaTrack(*webrtc.TrackRemote, *webrtc.RTPReceiver)            {}
func (e events) OnLocalTrackUnpublished(*livekit.TrackUnpublishedResponse)        {}
func (e events) OnLocalTrackSubscribed(*livekit.TrackSubscribed)                  {}
func (e events) OnTrackRemoteMuted(*livekit.MuteTrackRequest)                     {}
func (e events) OnSpeakersChanged([]*livekit.SpeakerInfo)                         {}
func (e events) OnConnectionQuality([]*livekit.ConnectionQualityInfo)             {}
func (e events) OnSubscribedQualityUpdate(*livekit.SubscribedQualityUpdate)       {}
func (e events) OnSubscribedAudioCodecUpdate(*livekit.SubscribedAudioCodecUpdate) {}
func (e events) OnMediaSectionsRequirement(*livekit.MediaSectionsRequirement)     {}
