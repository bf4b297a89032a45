package mail

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"relay-bot/native/relay-link/internal/pack"
)

// message is what a test reads of a message: its answers' count, and the items of each seat by their tags.
type message struct {
	answers int
	seats   []int64
	tags    map[int64][]int64
	data    map[int64][][]byte
	size    int
}

func next(t *testing.T, p *Post) message {
	t.Helper()
	got := make(chan []byte, 1)
	go func() {
		if b, ok := p.Next(nil); ok {
			got <- b
		}
	}()
	select {
	case b := <-got:
		return read(t, b)
	case <-time.After(5 * time.Second):
		t.Fatal("no message came")
		return message{}
	}
}

func read(t *testing.T, b []byte) message {
	t.Helper()
	m := message{tags: map[int64][]int64{}, data: map[int64][][]byte{}, size: len(b)}
	r := pack.NewReader(b)
	if r.Array() != 2 {
		t.Fatal("a message has two parts")
	}
	m.answers = r.Array()
	for range m.answers {
		r.Array()
		r.Int()
	}
	for range r.Array() {
		r.Array()
		seat := r.Int()
		m.seats = append(m.seats, seat)
		for range r.Array() {
			n := r.Array()
			tag := r.Int()
			m.tags[seat] = append(m.tags[seat], tag)
			switch tag {
			case tagFrame:
				m.data[seat] = append(m.data[seat], r.Bytes())
				_, _, _, _, _ = r.String(), r.Float(), r.String(), r.String(), r.Bool()
				if n >= 8 {
					_ = r.String()
				}
				if n == 9 {
					_ = r.Strings()
				}
			case tagRPC:
				_, _, _, _ = r.Bytes(), r.String(), r.Float(), r.String()
			case tagLeft, tagResumed:
				_ = r.String()
			case tagLost:
				_, _ = r.String(), r.String()
			case tagInterrupted:
			default:
				t.Fatalf("unexpected tag %d", tag)
			}
		}
	}
	if r.Err() != nil || r.Len() != 0 {
		t.Fatalf("malformed: %v, %d bytes left", r.Err(), r.Len())
	}
	return m
}

func packet(x *Box, sender string, size int) bool {
	return x.Packet(make([]byte, size), []byte(sender), nil, true, nil)
}

func TestWhatComesBeforeTheReleaseStaysUntilIt(t *testing.T) {
	p := NewPost(10)
	x := p.NewBox(7)
	x.Left("ann")
	packet(x, "bob", 3)
	p.Answer([]byte{0x91, 0x00})
	if m := next(t, p); m.answers != 1 || len(m.seats) != 0 {
		t.Fatalf("before the release came %+v", m)
	}
	x.Release()
	if m := next(t, p); fmt.Sprint(m.tags[7]) != fmt.Sprint([]int64{tagLeft, tagFrame}) {
		t.Fatalf("after the release came %+v", m)
	}
}

func TestArrivalsWaitForCreditAndAnswersDoNot(t *testing.T) {
	p := NewPost(1)
	x := p.NewBox(1)
	x.Release()
	packet(x, "ann", 1)
	next(t, p)
	packet(x, "ann", 2)
	p.Answer([]byte{0x91, 0x00})
	if m := next(t, p); m.answers != 1 || len(m.seats) != 0 {
		t.Fatalf("without credit came %+v", m)
	}
	packet(x, "ann", 3)
	p.Credit(1)
	if m := next(t, p); len(m.data[1]) != 2 {
		t.Fatalf("with credit came %+v", m)
	}
}

func TestAFloodedRoomDelaysNoOther(t *testing.T) {
	p := NewPost(1)
	loud, quiet := p.NewBox(1), p.NewBox(2)
	loud.Release()
	quiet.Release()
	for range 1500 {
		packet(loud, "ann", 600)
	}
	packet(quiet, "bob", 10)
	m := next(t, p)
	if m.seats[1] != 2 {
		t.Fatalf("the quiet room is not second: %v", m.seats)
	}
	if m.size > batchBytes+2*chunkBytes {
		t.Fatalf("a message of %d bytes", m.size)
	}
}

func TestAFullRoomLosesLossyFramesAndThoseOfItsFlooderFirst(t *testing.T) {
	p := NewPost(1)
	x := p.NewBox(1)
	x.Release()
	for range softFrames {
		if !packet(x, "flooder", 10) {
			t.Fatal("dropped below the bound")
		}
	}
	if packet(x, "flooder", 10) {
		t.Fatal("a flooder's frame was taken")
	}
	if x.Packet(nil, []byte("bob"), nil, false, nil) {
		t.Fatal("a lossy frame was taken")
	}
	for n := range 100 {
		if !packet(x, fmt.Sprint("voter-", n), 10) {
			t.Fatal("a voter's frame was dropped")
		}
	}
	if c := p.Counts(); c.Flooded != 1 || c.Lossy != 1 || c.Overflow != 0 {
		t.Fatalf("counted: %+v", c)
	}
}

func TestBeyondAllBoundsOnlyEventsAreTaken(t *testing.T) {
	p := NewPost(1)
	x := p.NewBox(1)
	x.Release()
	taken := 0
	for n := range 2 * hardFrames {
		if packet(x, fmt.Sprint("voter-", n), 10) {
			taken++
		}
	}
	if taken != hardFrames {
		t.Fatalf("%d frames were taken", taken)
	}
	if !x.Left("ann") {
		t.Fatal("an event was dropped")
	}
	for n := range 10 {
		if !x.Changed(make([]byte, eventBytes)) {
			break
		}
		if n == 9 {
			t.Fatal("events have no bound")
		}
	}
	x.Lost("network", "events overflowed", true)
	if m := next(t, p); fmt.Sprint(m.tags[1]) != fmt.Sprint([]int64{tagLost}) {
		t.Fatalf("after the loss came %v", m.tags)
	}
	if packet(x, "ann", 1) || !x.Left("ann") {
		t.Fatal("a lost seat's box takes frames, or complains of events")
	}
	if p.bytes != 0 {
		t.Fatalf("%d bytes are still counted", p.bytes)
	}
}

func TestABoxThatWasClosedSaysNothing(t *testing.T) {
	p := NewPost(5)
	x, other := p.NewBox(1), p.NewBox(2)
	x.Release()
	other.Release()
	packet(x, "ann", 1)
	x.Close()
	x.Left("ann")
	packet(other, "bob", 1)
	if m := next(t, p); len(m.seats) != 1 || m.seats[0] != 2 {
		t.Fatalf("said: %+v", m)
	}
}

func TestStampsAreTheBotsClock(t *testing.T) {
	p := NewPost(1)
	p.SetClock(1000)
	x := p.NewBox(1)
	x.Release()
	packet(x, "ann", 0)
	b, _ := p.Next(nil)
	r := pack.NewReader(b)
	r.Array()
	r.Array()
	r.Array()
	r.Array()
	r.Int()
	r.Array()
	r.Array()
	r.Int()
	r.Bytes()
	_ = r.String()
	if stamp := r.Float(); stamp < 1000 || stamp > 1005 {
		t.Fatalf("stamped %g", stamp)
	}
}

func TestCloseEndsTheWaiting(t *testing.T) {
	p := NewPost(1)
	ended := make(chan bool)
	go func() {
		_, ok := p.Next(nil)
		ended <- ok
	}()
	p.Close()
	if <-ended {
		t.Fatal("a closed post gave a message")
	}
}

func TestOrderIsKeptOverManyMessages(t *testing.T) {
	p := NewPost(1000)
	x := p.NewBox(1)
	x.Release()
	var want, got [][]byte
	for n := range 1500 {
		data := bytes.Repeat([]byte{byte(n)}, n)
		want = append(want, data)
		x.Packet(data, []byte("ann"), nil, true, nil)
		if n%400 == 0 {
			got = append(got, next(t, p).data[1]...)
		}
	}
	for len(got) < len(want) {
		got = append(got, next(t, p).data[1]...)
	}
	for n := range want {
		if !bytes.Equal(want[n], got[n]) {
			t.Fatalf("frame %d has %d bytes", n, len(got[n]))
		}
	}
}

func BenchmarkPacket(b *testing.B) {
	p := NewPost(b.N + 1)
	x := p.NewBox(1)
	x.Release()
	data, sender := make([]byte, 250), []byte("participant-17")
	var message []byte
	b.ReportAllocs()
	for n := range b.N {
		x.Packet(data, sender, nil, true, nil)
		if n%100 == 99 {
			message, _ = p.Next(message[:0])
		}
	}
}
