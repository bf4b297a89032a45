package hall

import (
	"slices"
	"unicode/utf8"

	"github.com/livekit/protocol/livekit"
	lksdk "github.com/livekit/server-sdk-go/v2"
	"github.com/pion/webrtc/v4"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Field numbers of livekit.DataPacket and livekit.UserPacket.
const (
	fieldUser    protowire.Number = 2
	fieldSender  protowire.Number = 4
	fieldTo      protowire.Number = 5
	fieldPayload protowire.Number = 2
	fieldTopic   protowire.Number = 4
	fieldOldTo   protowire.Number = 6 // where older clients put it
)

const (
	rpcUnsupported = uint32(lksdk.RpcUnsupportedMethod)
	rpcOldVersion  = uint32(lksdk.RpcUnsupportedVersion)
	rpcFailed      = uint32(lksdk.RpcApplicationError)
	rpcTooLarge    = uint32(lksdk.RpcResponsePayloadTooLarge)
)

// listen takes the packets from the channels themselves: the engine would not say whether one was sent
// reliably. It has to be called before the channels open, in OnRoomJoined. Which of the connections
// carries what comes to us depends on whether we may subscribe.
func (s *Seat) listen() {
	for _, kind := range []livekit.DataPacket_Kind{livekit.DataPacket_RELIABLE, livekit.DataPacket_LOSSY} {
		s.listenTo(s.engine.GetDataChannel(kind))
	}
	if subscriber, ok := s.engine.Subscriber(); ok {
		subscriber.PeerConnection().OnDataChannel(s.listenTo)
	}
}

func (s *Seat) listenTo(channel *webrtc.DataChannel) {
	if channel == nil {
		return
	}
	switch channel.Label() {
	case "_reliable":
		channel.OnMessage(func(message webrtc.DataChannelMessage) { s.packet(message.Data, true) })
	case "_lossy":
		channel.OnMessage(func(message webrtc.DataChannelMessage) { s.packet(message.Data, false) })
	}
}

// packet takes one livekit.DataPacket.
func (s *Seat) packet(data []byte, reliable bool) {
	if user, ok := parseUser(data); ok {
		s.box.Packet(user.payload, user.sender, user.topic, reliable, user.addressees())
		return
	}
	packet := &livekit.DataPacket{}
	if proto.Unmarshal(data, packet) != nil {
		return // not LiveKit's: the SFU made or checked it
	}
	sender := packet.GetParticipantIdentity()
	switch value := packet.Value.(type) {
	case *livekit.DataPacket_EncryptedPacket:
		if !s.box.Encrypted() {
			s.mu.Lock()
			s.overflowed()
			s.mu.Unlock()
		}
	case *livekit.DataPacket_RpcRequest:
		s.request(value.RpcRequest, sender)
	case *livekit.DataPacket_StreamHeader:
		s.streamHeader(value.StreamHeader, sender, packet.GetDestinationIdentities())
	case *livekit.DataPacket_StreamChunk:
		s.streamChunk(value.StreamChunk, sender)
	case *livekit.DataPacket_StreamTrailer:
		s.streamTrailer(value.StreamTrailer, sender)
	}
}

// request takes an RPC. That it came is told at once, as every SDK does; the answer is the bot's.
func (s *Seat) request(request *livekit.RpcRequest, sender string) {
	s.send(outgoing{packet: to(sender, &livekit.DataPacket{Value: &livekit.DataPacket_RpcAck{
		RpcAck: &livekit.RpcAck{RequestId: request.GetId()},
	}})})
	switch {
	case request.GetVersion() != 1:
		s.refuse(sender, request.GetId(), rpcOldVersion, "Unsupported RPC version")
	case !slices.Contains(s.options.Methods, request.GetMethod()):
		s.refuse(sender, request.GetId(), rpcUnsupported, "Method not supported at destination")
	case !s.box.RPC(request.GetPayload(), sender, request.GetId()):
		s.refuse(sender, request.GetId(), rpcFailed, "busy")
	}
}

func (s *Seat) refuse(caller, request string, code uint32, message string) {
	s.Reply(Reply{Caller: caller, Request: request, Code: code, Message: message})
}

// userPacket is a livekit.UserPacket's part that concerns us; all share the packet's memory.
type userPacket struct {
	payload, sender, topic []byte
	to, oldTo              [][]byte
}

// addressees are those whom the packet was sent to; none, where it was for everybody.
func (u *userPacket) addressees() []string {
	found := u.to
	if len(found) == 0 {
		found = u.oldTo
	}
	var to []string
	for _, each := range found {
		to = append(to, string(each))
	}
	return to
}

// parseUser reads a packet that is a user's data: nearly all are, and this costs a tenth of unmarshalling it.
// It gives false for every other packet, and for what is no packet at all.
func parseUser(data []byte) (found userPacket, ok bool) {
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return found, false
		}
		data = data[n:]
		switch {
		case number == fieldUser && kind == protowire.BytesType:
			user, n := protowire.ConsumeBytes(data)
			if n < 0 || !found.parse(user) {
				return found, false
			}
			ok = true
			data = data[n:]
		case number == fieldSender && kind == protowire.BytesType:
			if found.sender, n = protowire.ConsumeBytes(data); n < 0 {
				return found, false
			}
			data = data[n:]
		case number == fieldTo && kind == protowire.BytesType:
			to, n := protowire.ConsumeBytes(data)
			if n < 0 || !utf8.Valid(to) {
				return found, false
			}
			found.to = append(found.to, to)
			data = data[n:]
		default:
			if n = protowire.ConsumeFieldValue(number, kind, data); n < 0 {
				return found, false
			}
			data = data[n:]
		}
	}
	return found, ok && utf8.Valid(found.sender) && utf8.Valid(found.topic)
}

func (u *userPacket) parse(data []byte) bool {
	for len(data) > 0 {
		number, kind, n := protowire.ConsumeTag(data)
		if n < 0 {
			return false
		}
		data = data[n:]
		var value []byte
		if kind == protowire.BytesType {
			value, n = protowire.ConsumeBytes(data)
		} else {
			n = protowire.ConsumeFieldValue(number, kind, data)
		}
		if n < 0 {
			return false
		}
		data = data[n:]
		switch number {
		case fieldPayload:
			u.payload = value
		case fieldTopic:
			u.topic = value
		case fieldOldTo:
			if !utf8.Valid(value) {
				return false
			}
			u.oldTo = append(u.oldTo, value)
		}
	}
	return true
}
