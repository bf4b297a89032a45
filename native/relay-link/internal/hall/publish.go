package hall

import (
	"errors"
	"fmt"
	"time"

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

type outgoing struct {
	id     int64 // of the question that is answered when it is sent, or 0
	packet *livekit.DataPacket
	lossy  bool
	until  time.Time
}

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

// send queues a packet, and starts the sender if it isn't at work.
func (s *Seat) send(out outgoing) {
	if out.until.IsZero() {
		out.until = time.Now().Add(controlLimit)
	}
	size := proto.Size(out.packet)
	var err error
	s.mu.Lock()
	switch {
	case s.ended:
		err = errGone
	case size > maxPacket:
		err = errLarge
	case len(s.outgoing) >= maxOutgoing || s.outBytes+size > maxOutBytes:
		err = errBusy
	default:
		s.outgoing = append(s.outgoing, out)
		s.outBytes += size
		if !s.sending {
			s.sending = true
			go s.sendAll()
		}
	}
	s.mu.Unlock()
	if err != nil {
		s.published(out, err)
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
		s.published(out, s.sendOne(out))
	}
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
