// Package bridge speaks the link protocol with the bot: docs/link-protocol.md in the project says it all.
package bridge

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"relay-bot/native/relay-link/internal/hall"
	"relay-bot/native/relay-link/internal/mail"
	"relay-bot/native/relay-link/internal/note"
	"relay-bot/native/relay-link/internal/pack"
)

// Protocol is what both ends must have in common.
const Protocol = 3

const (
	maxMessage   = 16 << 20         // of the bot's; it splits its own far below that
	helloLimit   = 10 * time.Second // for the first message
	silenceLimit = 60 * time.Second // the bot pings every few seconds while it lives
	leaveLimit   = time.Second      // for leaving all rooms at the end
	flushLimit   = time.Second      // for the last answers
	maxSeats     = 20_000
)

// What a command begins with.
const (
	opHello = iota
	opJoin
	opLeave
	opPublish
	opReply
	opCredit
	opPing
	opText
)

// What an answer begins with.
const (
	answerWelcome = iota
	answerJoined
	answerLeft
	answerPublished
	answerPong
)

var errGone = errors.New("the seat is gone")

// Seat is what the bridge needs of a room.
type Seat interface {
	Join()
	Publish(hall.Publish)
	SendText(hall.Text)
	Reply(hall.Reply)
	Leave()
}

// Identity is what the link says of itself in the handshake.
type Identity struct {
	Version string
	Source  string // the hash of what it was built from
}

// Bridge connects the bot with its seats.
type Bridge struct {
	conn     net.Conn
	identity Identity
	newSeat  func(hall.Options, *mail.Post, hall.Told) Seat
	post     *mail.Post

	mu    sync.Mutex
	seats map[int64]Seat
	empty chan struct{} // closed when the last seat is gone, once leaving has begun
}

// New makes a bridge over a connection; newSeat makes its seats.
func New(conn net.Conn, identity Identity, newSeat func(hall.Options, *mail.Post, hall.Told) Seat) *Bridge {
	return &Bridge{
		conn: conn, identity: identity, newSeat: newSeat, post: mail.NewPost(0), seats: map[int64]Seat{},
	}
}

// Run serves the bot until it hangs up, which is no error, and leaves all rooms then.
func (b *Bridge) Run() error {
	written := make(chan struct{})
	go func() {
		defer close(written)
		b.write()
	}()
	err := b.read()
	b.leaveAll()
	b.post.Close()
	select {
	case <-written:
	case <-time.After(flushLimit): // it waits for a bot that reads no more
	}
	_ = b.conn.Close()
	<-written
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func (b *Bridge) read() error {
	reader := bufio.NewReaderSize(b.conn, 64<<10)
	_ = b.conn.SetReadDeadline(time.Now().Add(helloLimit))
	for greeted := false; ; greeted = true {
		body, err := readMessage(reader)
		if err != nil {
			return err
		}
		commands := pack.NewReader(body)
		if !greeted {
			if err := b.hello(commands); err != nil {
				return err
			}
		} else if err := b.obey(commands); err != nil {
			return err
		}
		_ = b.conn.SetReadDeadline(time.Now().Add(silenceLimit))
	}
}

func readMessage(reader io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(reader, head[:]); err != nil {
		return nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size > maxMessage {
		return nil, fmt.Errorf("a message of %d bytes: %d are the limit", size, maxMessage)
	}
	body := make([]byte, size) // not used again: packets on their way to the SFU share its memory
	_, err := io.ReadFull(reader, body)
	return body, err
}

// hello answers the first message. Whether the two fit is for the bot to judge: it can tell a person.
func (b *Bridge) hello(r *pack.Reader) error {
	ok := r.Array() == 1 && r.Array() == 4 && r.Int() == opHello
	protocol, clock, credit := r.Int(), r.Float(), r.Int()
	if !ok || r.Err() != nil {
		return errors.New("the first message is no hello")
	}
	b.post.SetClock(clock)
	b.post.Credit(int(credit))
	answer := pack.AppendInt(pack.AppendInt(pack.AppendArray(nil, 4), answerWelcome), Protocol)
	b.answer(pack.AppendString(pack.AppendString(answer, b.identity.Version), b.identity.Source))
	if protocol != Protocol {
		return fmt.Errorf("the bot speaks protocol %d, this link %d", protocol, Protocol)
	}
	return nil
}

// obey does what a message of commands asks for. Nothing here waits for a room.
func (b *Bridge) obey(r *pack.Reader) error {
	for range r.Array() {
		size := r.Array()
		switch op := r.Int(); {
		case op == opJoin && size == 8:
			b.join(hall.Options{
				Seat: r.Int(), URL: r.String(), Token: r.String(), Methods: r.Strings(), Topics: r.Strings(),
				MaxStream: int(r.Int()), Limit: seconds(r.Float()),
			})
		case op == opLeave && size == 2:
			b.leave(r.Int())
		case op == opPublish && size == 8:
			id, seat := r.Int(), b.seat(r.Int())
			packet := hall.Publish{
				ID: id, Data: r.Bytes(), To: r.Strings(), Topic: r.String(), Reliable: r.Bool(),
				Limit: seconds(r.Float()),
			}
			if seat != nil {
				seat.Publish(packet)
			} else {
				b.Published(id, errGone)
			}
		case op == opText && size == 7:
			id, seat := r.Int(), b.seat(r.Int())
			text := hall.Text{
				ID: id, Text: r.String(), To: r.Strings(), Topic: r.String(), Limit: seconds(r.Float()),
			}
			if seat != nil {
				seat.SendText(text)
			} else {
				b.Published(id, errGone)
			}
		case op == opReply && size == 7:
			seat := b.seat(r.Int())
			reply := hall.Reply{
				Caller: r.String(), Request: r.String(), Payload: r.String(), Code: uint32(r.Int()),
				Message: r.String(),
			}
			if seat != nil {
				seat.Reply(reply)
			}
		case op == opCredit && size == 2:
			b.post.Credit(int(r.Int()))
		case op == opPing && size == 2:
			b.pong(r.Float())
		default:
			return fmt.Errorf("no command %d takes %d values", op, size)
		}
		if err := r.Err(); err != nil {
			return err
		}
	}
	return r.Err()
}

func seconds(v float64) time.Duration { return time.Duration(v * float64(time.Second)) }

func (b *Bridge) seat(number int64) Seat {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.seats[number]
}

func (b *Bridge) join(options hall.Options) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.seats[options.Seat] != nil || len(b.seats) >= maxSeats {
		go b.Joined(options.Seat, "", errors.New("too many rooms"))
		return
	}
	seat := b.newSeat(options, b.post, b)
	b.seats[options.Seat] = seat
	go seat.Join()
}

func (b *Bridge) leave(number int64) {
	if seat := b.seat(number); seat != nil {
		go seat.Leave()
		return
	}
	b.Gone(number)
}

func (b *Bridge) pong(clock float64) {
	b.post.SetClock(clock)
	b.mu.Lock()
	seats := len(b.seats)
	b.mu.Unlock()
	counts := b.post.Counts()
	answer := pack.AppendInt(pack.AppendArray(nil, 9), answerPong)
	for _, count := range []int64{
		int64(seats), counts.Frames, counts.Lossy, counts.Flooded, counts.Overflow, counts.Texts, counts.Bytes,
		counts.Encrypted,
	} {
		answer = pack.AppendInt(answer, count)
	}
	b.answer(answer)
}

// Joined is called by a seat, see hall.Told.
func (b *Bridge) Joined(seat int64, sid string, err error) {
	answer := pack.AppendInt(pack.AppendInt(pack.AppendArray(nil, 4), answerJoined), seat)
	b.answer(appendError(pack.AppendString(answer, sid), err))
}

// Published is called by a seat, see hall.Told.
func (b *Bridge) Published(id int64, err error) {
	answer := pack.AppendInt(pack.AppendInt(pack.AppendArray(nil, 3), answerPublished), id)
	b.answer(appendError(answer, err))
}

// Gone is called by a seat, see hall.Told.
func (b *Bridge) Gone(seat int64) {
	b.mu.Lock()
	delete(b.seats, seat)
	if b.empty != nil && len(b.seats) == 0 {
		close(b.empty)
		b.empty = nil
	}
	b.mu.Unlock()
	b.answer(pack.AppendInt(pack.AppendInt(pack.AppendArray(nil, 2), answerLeft), seat))
}

func appendError(b []byte, err error) []byte {
	if err == nil {
		return pack.AppendNil(b)
	}
	return pack.AppendString(b, err.Error())
}

// answer puts an answer into the post. A bot that asks on and on and reads no answer is hung up on.
func (b *Bridge) answer(encoded []byte) {
	if !b.post.Answer(encoded) {
		note.Error("the bot doesn't read its answers", 0, nil)
		_ = b.conn.Close()
	}
}

func (b *Bridge) write() {
	var buffer []byte
	for {
		message, ok := b.post.Next(append(buffer[:0], 0, 0, 0, 0))
		if !ok {
			return
		}
		binary.BigEndian.PutUint32(message, uint32(len(message)-4))
		if _, err := b.conn.Write(message); err != nil {
			_ = b.conn.Close() // so that the reader notices, too
			return
		}
		buffer = message
	}
}

func (b *Bridge) leaveAll() {
	b.mu.Lock()
	empty := make(chan struct{})
	if len(b.seats) == 0 {
		close(empty)
	} else {
		b.empty = empty
	}
	for _, seat := range b.seats {
		go seat.Leave()
	}
	b.mu.Unlock()
	select {
	case <-empty:
	case <-time.After(leaveLimit):
	}
}
