package hall

import (
	"crypto/rand"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/livekit/protocol/livekit"
	lksdk "github.com/livekit/server-sdk-go/v2"
	"google.golang.org/protobuf/proto"
)

const (
	maxPacket    = 64_000  // bytes of an encoded packet, its addressees included: the SFU takes no more
	maxBuffered  = 1 << 20 // bytes that a channel may have before it; more waits
	maxOutgoing  = 512     // packets of one room that may wait
	maxOutBytes  = 4 << 20
	controlLimit = 10 * time.Second // for packets that nobody waits for
	chunkBytes   = 15_000           // of a text stream that one packet carries
)

var (
	errGone  = errors.New("the seat is gone")
	errBusy  = errors.New("too many packets are waiting")
	errLarge = fmt.Errorf("the packet with its addressees is longer than %d bytes", maxPacket)
	errLate  = errors.New("the packet was not sent in time")
)

// Publish is a data packet to send.
type Publish struct {
	ID       int64
	Data     []byte
	To       []string // identities; everybody without any
	Topic    string
	Reliable bool
	Limit    time.Duration
}

// Reply answers an RPC. A code of 0 is success.
type Reply struct {
	Caller  string
	Request string
	Payload string
	Code    uint32
	Message string
}

// Text is a text to send as a stream.
type Text struct {
	ID    int64
	Text  string
	To    []string // identities; everybody without any
	Topic string
	Limit time.Duration
}

type outgoing struct {
	id     int64 // of the question that is answered when it is sent, or 0
	packet *livekit.DataPacket
	lossy  bool
	until  time.Time
	stream *sending // of which it is a part, or nil
}

// sending is a stream on its way. Once a part of it could not be sent, the others are not, either.
type sending struct{ failed error }

func to(identity string, packet *livekit.DataPacket) *livekit.DataPacket {
	packet.DestinationIdentities = []string{identity}
	return packet
}

// Publish sends a packet, after those before it, and answers when the channel has taken it.
func (s *Seat) Publish(p Publish) {
	user := &livekit.UserPacket{Payload: p.Data}
	if p.Topic != "" {
		user.Topic = &p.Topic
	}
	s.send(outgoing{
		id: p.ID,
		packet: &livekit.DataPacket{
			DestinationIdentities: p.To,
			Value:                 &livekit.DataPacket_User{User: user},
		},
		lossy: !p.Reliable,
		until: time.Now().Add(p.Limit),
	})
}

// SendText sends a text as a stream, after what was sent before it, and answers when the channel has taken all of it.
func (s *Seat) SendText(t Text) {
	id, length := rand.Text(), uint64(len(t.Text))
	packets := []*livekit.DataPacket{{Value: &livekit.DataPacket_StreamHeader{StreamHeader: &livekit.DataStream_Header{
		StreamId:    id,
		Timestamp:   time.Now().UnixMilli(),
		Topic:       t.Topic,
		MimeType:    "text/plain",
		TotalLength: &length,
		ContentHeader: &livekit.DataStream_Header_TextHeader{
			TextHeader: &livekit.DataStream_TextHeader{OperationType: livekit.DataStream_CREATE},
		},
	}}}}
	for n, part := range split(t.Text, chunkBytes) {
		chunk := &livekit.DataStream_Chunk{StreamId: id, ChunkIndex: uint64(n), Content: []byte(part)}
		packets = append(packets, &livekit.DataPacket{Value: &livekit.DataPacket_StreamChunk{StreamChunk: chunk}})
	}
	trailer := &livekit.DataStream_Trailer{StreamId: id}
	packets = append(packets, &livekit.DataPacket{Value: &livekit.DataPacket_StreamTrailer{StreamTrailer: trailer}})
	parts, stream := make([]outgoing, len(packets)), &sending{}
	for n, packet := range packets {
		packet.DestinationIdentities = t.To
		parts[n] = outgoing{packet: packet, until: time.Now().Add(t.Limit), stream: stream}
	}
	parts[len(parts)-1].id = t.ID
	s.send(parts...)
}

// split cuts a text into parts of at most so many bytes, between characters: some clients decode each by itself.
func split(text string, limit int) []string {
	var parts []string
	for len(text) > limit {
		end := limit
		for !utf8.RuneStart(text[end]) {
			end--
		}
		parts = append(parts, text[:end])
		text = text[end:]
	}
	return append(parts, text)
}

// Reply sends the answer to an RPC.
func (s *Seat) Reply(r Reply) {
	response := &livekit.RpcResponse{RequestId: r.Request}
	if len(r.Payload) > lksdk.MaxDataBytes {
		r = Reply{Caller: r.Caller, Request: r.Request, Code: rpcTooLarge, Message: "Response payload too large"}
	}
	if r.Code == 0 {
		response.Value = &livekit.RpcResponse_Payload{Payload: r.Payload}
	} else {
		failure := &livekit.RpcError{Code: r.Code, Message: r.Message, Data: r.Payload}
		response.Value = &livekit.RpcResponse_Error{Error: failure}
	}
	s.send(outgoing{packet: to(r.Caller, &livekit.DataPacket{
		Value: &livekit.DataPacket_RpcResponse{RpcResponse: response},
	})})
}

// send queues packets, all or none, and starts the sender if it isn't at work. The last may have an id.
func (s *Seat) send(parts ...outgoing) {
	size, largest := 0, 0
	for n, part := range parts {
		if part.until.IsZero() {
			parts[n].until = time.Now().Add(controlLimit)
		}
		bytes := proto.Size(part.packet)
		size, largest = size+bytes, max(largest, bytes)
	}
	var err error
	s.mu.Lock()
	switch {
	case s.ended:
		err = errGone
	case largest > maxPacket:
		err = errLarge
	case len(s.outgoing)+len(parts) > maxOutgoing || s.outBytes+size > maxOutBytes:
		err = errBusy
	default:
		s.outgoing = append(s.outgoing, parts...)
		s.outBytes += size
		if !s.sending {
			s.sending = true
			go s.sendAll()
		}
	}
	s.mu.Unlock()
	if err != nil {
		s.published(parts[len(parts)-1], err)
	}
}

func (s *Seat) published(out outgoing, err error) {
	if out.id != 0 {
		s.told.Published(out.id, err)
	}
}

// sendAll sends what is queued, in order, until nothing is.
func (s *Seat) sendAll() {
	for {
		s.mu.Lock()
		if len(s.outgoing) == 0 {
			s.outgoing, s.sending = nil, false
			s.mu.Unlock()
			return
		}
		out := s.outgoing[0]
		s.outgoing[0] = outgoing{}
		s.outgoing = s.outgoing[1:]
		s.outBytes -= proto.Size(out.packet)
		if !out.lossy {
			s.sequence++
			out.packet.Sequence = s.sequence
		}
		s.mu.Unlock()
		s.published(out, s.sendPart(out))
	}
}

// sendPart sends a packet, unless it is of a stream that has failed. Only one goroutine calls it at a time.
func (s *Seat) sendPart(out outgoing) error {
	if out.stream == nil {
		return s.sendOne(out)
	}
	if out.stream.failed == nil {
		out.stream.failed = s.sendOne(out)
	}
	return out.stream.failed
}

func (s *Seat) sendOne(out outgoing) error {
	kind := livekit.DataPacket_RELIABLE
	if out.lossy {
		kind = livekit.DataPacket_LOSSY
	}
	data, err := proto.Marshal(out.packet)
	if err != nil {
		return err
	}
	for {
		channel := s.engine.GetDataChannel(kind)
		if open(channel) && channel.BufferedAmount() < maxBuffered {
			return channel.Send(data)
		}
		switch {
		case s.isEnded():
			return errGone
		case time.Now().After(out.until):
			return errLate
		}
		time.Sleep(pollEvery)
	}
}
