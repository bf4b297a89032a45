package bridge

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"relay-bot/native/relay-link/internal/hall"
	"relay-bot/native/relay-link/internal/mail"
	"relay-bot/native/relay-link/internal/pack"
)

// fakeSeat is a room that does at once what it is told.
type fakeSeat struct {
	options hall.Options
	box     *mail.Box
	told    hall.Told
	mu      sync.Mutex
	replies []hall.Reply
	left    bool
}

func (s *fakeSeat) Join() {
	if s.options.Token == "bad" {
		s.told.Joined(s.options.Seat, "", errors.New("unauthorized"))
		s.told.Gone(s.options.Seat)
		return
	}
	s.told.Joined(s.options.Seat, "RM_1", nil)
	s.box.Release()
}

func (s *fakeSeat) Publish(p hall.Publish) {
	s.box.Packet(p.Data, []byte(p.To[0]), []byte(p.Topic), p.Reliable, nil)
	s.told.Published(p.ID, nil)
}

func (s *fakeSeat) SendText(t hall.Text) {
	s.box.Chat([]byte(t.Text), t.To[0], t.Topic, "stream", nil)
	s.told.Published(t.ID, nil)
}

func (s *fakeSeat) Reply(r hall.Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.replies = append(s.replies, r)
}

func (s *fakeSeat) Leave() {
	s.mu.Lock()
	s.left = true
	s.mu.Unlock()
	s.told.Gone(s.options.Seat)
}

// bot is the other end of a bridge under test.
type bot struct {
	t     *testing.T
	conn  net.Conn
	ended chan error
	mu    sync.Mutex
	seats []*fakeSeat
}

func start(t *testing.T) *bot {
	t.Helper()
	ours, its := net.Pipe()
	b := &bot{t: t, conn: ours, ended: make(chan error, 1)}
	newSeat := func(options hall.Options, post *mail.Post, told hall.Told) Seat {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.seats = append(b.seats, &fakeSeat{options: options, box: post.NewBox(options.Seat), told: told})
		return b.seats[len(b.seats)-1]
	}
	go func() { b.ended <- New(its, Identity{"9.9", "cafe"}, newSeat).Run() }()
	t.Cleanup(func() { _ = ours.Close() })
	_ = ours.SetDeadline(time.Now().Add(10 * time.Second))
	return b
}

func (b *bot) send(commands ...[]byte) {
	b.t.Helper()
	body := pack.AppendArray(nil, len(commands))
	for _, command := range commands {
		body = append(body, command...)
	}
	message := append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
	if _, err := b.conn.Write(message); err != nil {
		b.t.Fatal(err)
	}
}

// read reads a message; it gives a reader that stands before the answers.
func (b *bot) read() *pack.Reader {
	b.t.Helper()
	body, err := readMessage(b.conn)
	if err != nil {
		b.t.Fatal(err)
	}
	r := pack.NewReader(body)
	r.Array()
	return r
}

func hello(protocol int64) []byte {
	b := pack.AppendInt(pack.AppendInt(pack.AppendArray(nil, 4), opHello), protocol)
	return pack.AppendInt(pack.AppendFloat(b, 12.5), 8)
}

func join(seat int64, token string) []byte {
	b := pack.AppendInt(pack.AppendInt(pack.AppendArray(nil, 8), opJoin), seat)
	b = pack.AppendString(pack.AppendString(b, "ws://127.0.0.1:1"), token)
	b = pack.AppendString(pack.AppendArray(b, 1), "relay")
	b = pack.AppendString(pack.AppendArray(b, 1), "lk.chat")
	return pack.AppendFloat(pack.AppendInt(b, 60000), 1.5)
}

func publish(number, seat int64, data string) []byte {
	b := pack.AppendInt(pack.AppendInt(pack.AppendInt(pack.AppendArray(nil, 8), opPublish), number), seat)
	b = pack.AppendString(pack.AppendArray(pack.AppendBytes(b, []byte(data)), 1), "ann")
	return pack.AppendFloat(pack.AppendBool(pack.AppendString(b, ""), true), 10)
}

func text(number, seat int64, text string) []byte {
	b := pack.AppendInt(pack.AppendInt(pack.AppendInt(pack.AppendArray(nil, 7), opText), number), seat)
	b = pack.AppendString(pack.AppendArray(pack.AppendString(b, text), 1), "ann")
	return pack.AppendFloat(pack.AppendString(b, "lk.chat"), 10)
}

func greeted(t *testing.T) *bot {
	b := start(t)
	b.send(hello(Protocol))
	r := b.read()
	if r.Array() != 1 || r.Array() != 4 || r.Int() != answerWelcome || r.Int() != Protocol {
		t.Fatal("no welcome")
	}
	if r.String() != "9.9" || r.String() != "cafe" || r.Err() != nil {
		t.Fatal("it doesn't say what it is")
	}
	return b
}

func (b *bot) end() error {
	b.t.Helper()
	select {
	case err := <-b.ended:
		return err
	case <-time.After(5 * time.Second):
		b.t.Fatal("it goes on")
		return nil
	}
}

func TestAnotherProtocolIsAnsweredAndLeft(t *testing.T) {
	b := start(t)
	b.send(hello(Protocol + 1))
	if r := b.read(); r.Array() != 1 || r.Array() != 4 || r.Int() != answerWelcome {
		t.Fatal("no welcome")
	}
	if b.end() == nil {
		t.Fatal("the mismatch is not told")
	}
}

func TestTheFirstMessageIsTheHello(t *testing.T) {
	b := start(t)
	b.send(join(1, "token"))
	if b.end() == nil {
		t.Fatal("it took a command before the hello")
	}
}

func TestARoomIsJoinedSpokenToAndLeft(t *testing.T) {
	b := greeted(t)
	b.send(join(5, "token"))
	r := b.read()
	if r.Array() != 1 || r.Array() != 4 || r.Int() != answerJoined || r.Int() != 5 || r.String() != "RM_1" {
		t.Fatal("not joined")
	}
	options := b.seats[0].options
	if options.Token != "token" || options.Methods[0] != "relay" || options.Limit != 1500*time.Millisecond {
		t.Fatalf("joined with %+v", options)
	}
	b.send(publish(77, 5, "hello"))
	data, answered := "", false
	for data == "" || !answered { // the answer and the arrival may come in two messages
		r = b.read()
		for range r.Array() {
			answered = r.Array() == 3 && r.Int() == answerPublished && r.Int() == 77
			r.Nil()
		}
		for range r.Array() {
			if r.Array() != 2 || r.Int() != 5 || r.Array() != 1 || r.Array() != 7 || r.Int() != 0 {
				t.Fatal("not the packet")
			}
			data = string(r.Bytes())
			_, _, _, _, _ = r.String(), r.Float(), r.String(), r.String(), r.Bool()
		}
	}
	b.send(pack.AppendInt(pack.AppendInt(pack.AppendArray(nil, 2), opLeave), 5))
	_ = b.conn.Close()
	if err := b.end(); err != nil {
		t.Fatal(err)
	}
	if !b.seats[0].left {
		t.Fatal("the room was not left")
	}
}

func TestAJoinThatFailsSaysWhy(t *testing.T) {
	b := greeted(t)
	b.send(join(5, "bad"))
	r := b.read()
	r.Array()
	if r.Array() != 4 || r.Int() != answerJoined || r.Int() != 5 || r.String() != "" || r.String() != "unauthorized" {
		t.Fatal("it doesn't say why")
	}
}

func TestASeatThatIsNotThereIsAnswered(t *testing.T) {
	b := greeted(t)
	b.send(publish(3, 99, "x"))
	r := b.read()
	if r.Array() != 1 || r.Array() != 3 || r.Int() != answerPublished || r.Int() != 3 || r.String() == "" {
		t.Fatal("no error")
	}
}

func TestWhatCannotBeReadEndsTheConnection(t *testing.T) {
	for name, message := range map[string][]byte{
		"no such command":    {0, 0, 0, 4, 0x91, 0x92, 0x63, 0x00},
		"too few values":     {0, 0, 0, 3, 0x91, 0x91, 0x01},
		"another type":       {0, 0, 0, 4, 0x91, 0x92, 0x02, 0xc0},
		"not an array":       {0, 0, 0, 1, 0x05},
		"longer than it may": {0x7f, 0xff, 0xff, 0xff},
	} {
		b := greeted(t)
		_, _ = b.conn.Write(message)
		if b.end() == nil {
			t.Errorf("%s: it is no error", name)
		}
	}
}

func TestItLeavesAllRoomsWhenTheBotHangsUp(t *testing.T) {
	b := greeted(t)
	b.send(join(1, "token"), join(2, "token"))
	for joined := 0; joined < 2; {
		joined += b.read().Array()
	}
	_ = b.conn.Close()
	if err := b.end(); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	for _, seat := range b.seats {
		if !seat.left {
			t.Fatal("a room was not left")
		}
	}
}

func TestPingIsAnsweredWithCounts(t *testing.T) {
	b := greeted(t)
	b.send(pack.AppendFloat(pack.AppendInt(pack.AppendArray(nil, 2), opPing), 50))
	r := b.read()
	if r.Array() != 1 || r.Array() != 9 || r.Int() != answerPong || r.Int() != 0 || r.Int() != 0 {
		t.Fatal("no pong")
	}
}

// FuzzObey looks for commands that make the link panic: it must never, whatever the bot says.
func FuzzObey(f *testing.F) {
	f.Add(append([]byte{0x91}, join(1, "t")...))
	f.Add(append([]byte{0x91}, publish(1, 1, "x")...))
	f.Add(append([]byte{0x91}, text(1, 1, "x")...))
	f.Fuzz(func(t *testing.T, data []byte) {
		_, its := net.Pipe()
		newSeat := func(options hall.Options, post *mail.Post, told hall.Told) Seat {
			return &fakeSeat{options: options, box: post.NewBox(options.Seat), told: told}
		}
		b := New(its, Identity{}, newSeat)
		_ = b.obey(pack.NewReader(data))
	})
}
