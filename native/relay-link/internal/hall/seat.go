// Package hall is the bot's place in one LiveKit room.
//
// It stands on the SDK's engine, not on its Room: that one tells of participants from goroutines of their own,
// so in no order, never tells that a name or a permission changed, and keeps a room's real reason for closing to
// itself. The engine hands everything over in order, on the goroutine that read it.
package hall

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/livekit/protocol/livekit"
	lksdk "github.com/livekit/server-sdk-go/v2"
	"github.com/livekit/server-sdk-go/v2/signalling"
	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"

	"relay-bot/native/relay-link/internal/mail"
	"relay-bot/native/relay-link/internal/note"
)

const (
	mendLimit  = 20 * time.Second // an interrupted connection that is not mended by then is given up
	sidLimit   = 2 * time.Second  // the room's sid may come a little after the join
	leaveLimit = 2 * time.Second
	pollEvery  = 5 * time.Millisecond
	widenPause = 100 * time.Millisecond
)

var widening atomic.Bool

// widenSoon widens the sockets once for all rooms that connect at about this time.
func widenSoon() {
	if widening.CompareAndSwap(false, true) {
		time.AfterFunc(widenPause, func() {
			widening.Store(false)
			widenSockets()
		})
	}
}

// Options say which room to join, and what of it to hand on.
type Options struct {
	Seat      int64
	URL       string
	Token     string
	Methods   []string // RPC methods that are answered; others are refused
	Topics    []string // of the text streams that are handed on
	MaxStream int      // bytes of a text stream; longer ones are dropped
	Limit     time.Duration
}

// Told is called with the answers to what was asked of seats, from any goroutine.
type Told interface {
	// Joined answers Join; an error means that there is no seat.
	Joined(seat int64, sid string, err error)
	// Published answers Publish.
	Published(id int64, err error)
	// Gone says that the seat is not there any more, for whatever reason.
	Gone(seat int64)
}

// Seat is one room that is being joined or was joined.
type Seat struct {
	options Options
	box     *mail.Box
	told    Told
	engine  *lksdk.RTCEngine
	cancel  context.CancelFunc
	reason  atomic.Int32 // livekit.DisconnectReason of the leave request that came

	mu          sync.Mutex
	sid         string
	own         *livekit.ParticipantInfo
	joined      bool
	ended       bool
	interrupted *time.Timer // runs from the interruption until it is mended
	roster      map[string]*member
	streams     map[streamKey]*stream
	outgoing    []outgoing
	outBytes    int
	sending     bool
	sequence    uint32
}

// New makes a seat; Join takes it.
func New(options Options, post *mail.Post, told Told) *Seat {
	s := &Seat{
		options: options,
		box:     post.NewBox(options.Seat),
		told:    told,
		roster:  map[string]*member{},
		streams: map[streamKey]*stream{},
	}
	s.engine = lksdk.NewRTCEngine(false, events{s}, s.ownSID)
	s.engine.SetLogger(tap{s})
	return s
}

// Join joins the room. It blocks until the seat is taken or given up, and has told which.
func (s *Seat) Join() {
	ctx, cancel := context.WithTimeout(context.Background(), s.options.Limit)
	s.mu.Lock()
	s.cancel = cancel
	ended := s.ended
	s.mu.Unlock()
	err := errors.New("left before it was joined")
	if !ended {
		err = s.join(ctx)
	}
	cancel()
	s.mu.Lock()
	if s.ended && err == nil {
		err = s.endedWhileJoining()
	}
	s.joined = err == nil
	s.ended = !s.joined
	sid := s.sid
	s.mu.Unlock()
	if err != nil {
		s.box.Close()
		s.depart()
		s.told.Joined(s.options.Seat, "", err)
		s.told.Gone(s.options.Seat)
		return
	}
	widenSoon()
	s.told.Joined(s.options.Seat, sid, nil)
	s.box.Release()
}

func (s *Seat) join(ctx context.Context) error {
	params := &signalling.ConnectParams{
		// Nothing is published or watched here: no interceptors, and of the codecs one, which an offer needs.
		Interceptors: []interceptor.Factory{},
		Codecs: []webrtc.RTPCodecParameters{{
			RTPCodecCapability: webrtc.RTPCodecCapability{MimeType: webrtc.MimeTypeOpus, ClockRate: 48000, Channels: 2},
			PayloadType:        111,
		}},
	}
	failed := make(chan error, 1)
	go func() {
		_, err := s.engine.JoinContext(ctx, s.options.URL, s.options.Token, params)
		failed <- err
	}()
	select {
	case err := <-failed:
		if err != nil && ctx.Err() == nil {
			return err
		}
	case <-ctx.Done():
		s.depart()
		go func() { // the engine goes on trying for a while, whatever becomes of the context
			<-failed
			s.depart()
		}()
	}
	if ctx.Err() == nil {
		s.awaitOpen(ctx)
	}
	if ctx.Err() == nil {
		s.awaitSID(ctx)
	}
	switch {
	case s.isEnded():
		return s.endedWhileJoining()
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return fmt.Errorf("LiveKit did not answer within %g s", s.options.Limit.Seconds())
	}
	return ctx.Err()
}

func (s *Seat) endedWhileJoining() error {
	if reason := livekit.DisconnectReason(s.reason.Load()); reason != livekit.DisconnectReason_UNKNOWN_REASON {
		return errors.New("LiveKit closed the connection: " + reason.String())
	}
	return errors.New("left before it was joined")
}

// awaitOpen waits until both data channels can be sent on.
func (s *Seat) awaitOpen(ctx context.Context) {
	for ctx.Err() == nil && !s.isEnded() {
		if open(s.engine.GetDataChannel(livekit.DataPacket_RELIABLE)) &&
			open(s.engine.GetDataChannel(livekit.DataPacket_LOSSY)) {
			return
		}
		time.Sleep(pollEvery)
	}
}

func open(channel *webrtc.DataChannel) bool {
	return channel != nil && channel.ReadyState() == webrtc.DataChannelStateOpen
}

// awaitSID waits a while for the room's sid, which is not needed to go on.
func (s *Seat) awaitSID(ctx context.Context) {
	for end := time.Now().Add(sidLimit); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(pollEvery) {
		s.mu.Lock()
		known := s.sid != "" || s.ended
		s.mu.Unlock()
		if known {
			return
		}
	}
}

// Leave gives the seat up. Nothing is told of the room after it.
func (s *Seat) Leave() {
	s.mu.Lock()
	before, joined := s.ended, s.joined
	s.ended = true
	if s.interrupted != nil {
		s.interrupted.Stop()
	}
	if s.cancel != nil {
		s.cancel()
	}
	s.mu.Unlock()
	s.box.Close()
	if before || !joined {
		return // or else Join tears down when it sees
	}
	s.depart()
	s.told.Gone(s.options.Seat)
}

// depart says goodbye, so that the server needn't wait for us to come back, and tears down.
func (s *Seat) depart() {
	said := make(chan struct{})
	go func() {
		_ = s.engine.SendLeaveWithReason(livekit.DisconnectReason_CLIENT_INITIATED) // it notices anyway, later
		close(said)
	}()
	select {
	case <-said:
	case <-time.After(leaveLimit):
	}
	s.tearDown()
}

// lose ends a seat that was taken, and tells why.
func (s *Seat) lose(reason, detail string, overflow bool) {
	s.mu.Lock()
	if s.ended {
		s.mu.Unlock()
		return
	}
	s.ended = true
	joined := s.joined
	if s.interrupted != nil {
		s.interrupted.Stop()
	}
	if s.cancel != nil {
		s.cancel()
	}
	s.mu.Unlock()
	if !joined {
		return // Join tells
	}
	s.box.Lost(reason, detail, overflow)
	s.tearDown()
	s.told.Gone(s.options.Seat)
}

// overflowed is called where not even an event found room: without it the bot's picture would be false.
func (s *Seat) overflowed() {
	note.Error("a room's events overflowed", s.options.Seat, nil)
	go s.lose("network", "events overflowed", true)
}

// tearDown lets go of all that the engine holds. Close alone would leave a join that is under way.
func (s *Seat) tearDown() {
	s.engine.Close()
	if transport, ok := s.engine.Publisher(); ok {
		_ = transport.Close()
	}
	if transport, ok := s.engine.Subscriber(); ok {
		_ = transport.Close()
	}
}

func (s *Seat) isEnded() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ended
}

func (s *Seat) ownSID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.own.GetSid()
}

func (s *Seat) interrupt() {
	s.mu.Lock()
	fresh := s.joined && !s.ended && s.interrupted == nil
	if fresh {
		s.interrupted = time.AfterFunc(mendLimit, func() {
			s.lose("network", fmt.Sprintf("not mended within %g s", mendLimit.Seconds()), false)
		})
	}
	s.mu.Unlock()
	if fresh && !s.box.Interrupted() {
		s.overflowed()
	}
}

func (s *Seat) mended() {
	s.mu.Lock()
	was := s.interrupted != nil && !s.ended
	if was {
		s.interrupted.Stop()
		s.interrupted = nil
	}
	sid := s.sid
	s.mu.Unlock()
	widenSoon()
	if was && !s.box.Resumed(sid) {
		s.overflowed()
	}
}

// mendedOnceOpen says that a restarted connection is mended when it can be sent on.
func (s *Seat) mendedOnceOpen() {
	ctx, cancel := context.WithTimeout(context.Background(), mendLimit)
	defer cancel()
	s.awaitOpen(ctx)
	if ctx.Err() == nil {
		s.mended()
	}
}

func lostReason(reason livekit.DisconnectReason) string {
	switch reason {
	case livekit.DisconnectReason_ROOM_DELETED, livekit.DisconnectReason_ROOM_CLOSED:
		return "room_ended"
	case livekit.DisconnectReason_DUPLICATE_IDENTITY:
		return "duplicate"
	case livekit.DisconnectReason_PARTICIPANT_REMOVED:
		return "removed"
	}
	return "network"
}
