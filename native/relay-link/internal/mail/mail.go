// Package mail holds what rooms have to tell until the bot takes it. Nothing in it waits for the bot, and
// nothing in it grows without a bound: a room that floods loses its own frames, never another room's.
package mail

import (
	"sync"
	"time"

	"relay-bot/native/relay-link/internal/pack"
)

const (
	batchBytes = 256 << 10 // a message is closed once it is this long
	chunkBytes = 32 << 10  // what one room gets of a message before the next one's turn

	softFrames = 2_000   // above this, or softBytes, a room's lossy frames and flooding senders are dropped
	softBytes  = 1 << 20 //
	hardFrames = 20_000  // above this, or hardBytes, all of its frames are dropped
	hardBytes  = 8 << 20
	eventBytes = 2 << 20   // what a room's roster and connection events may take beyond that
	totalBytes = 128 << 20 // above this, summed over all rooms, all frames are dropped
	fairShare  = 8         // a sender floods who has sent more than an eighth of what a room has waiting
	maxAnswers = 4 << 20   // bytes of answers; the bot has far fewer questions open
)

// Counts is what went through since the start, for the bot's metrics.
type Counts struct {
	Frames   int64 // handed on to the bot
	Lossy    int64 // lossy frames dropped from a full box
	Flooded  int64 // frames dropped because their sender flooded a full box
	Overflow int64 // frames dropped from a box beyond all bounds
	Texts    int64 // text streams dropped before they were whole: too long, too many, broken off
	Bytes    int64 // byte streams, which the bot has no use for

	Encrypted int64 // packets that are end-to-end encrypted, which the bot has no key for
}

// Post collects the rooms' boxes and makes messages of them.
type Post struct {
	mu      sync.Mutex
	wake    sync.Cond
	credit  int // messages with arrivals that may be sent before the bot gives more credit
	closed  bool
	answers []byte
	asked   int // answers in there
	ready   []*Box
	bytes   int
	counts  Counts
	clock   float64 // the bot's monotonic clock, in seconds, at the moment `set`
	set     time.Time
}

// NewPost makes an empty one that has the credit for so many messages.
func NewPost(credit int) *Post {
	p := &Post{credit: credit, set: time.Now()}
	p.wake.L = &p.mu
	return p
}

// Credit lets that many more messages go out.
func (p *Post) Credit(n int) {
	p.mu.Lock()
	p.credit += n
	p.mu.Unlock()
	p.wake.Signal()
}

// SetClock says what the bot's monotonic clock shows now.
func (p *Post) SetClock(seconds float64) {
	p.mu.Lock()
	p.clock, p.set = seconds, time.Now()
	p.mu.Unlock()
}

func (p *Post) now() float64 { return p.clock + time.Since(p.set).Seconds() }

// Answer adds the encoded answer to something that the bot asked. It tells whether there was room.
func (p *Post) Answer(encoded []byte) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.answers)+len(encoded) > maxAnswers {
		return false
	}
	p.answers = append(p.answers, encoded...)
	p.asked++
	p.wake.Signal()
	return true
}

// Counts gives the counters.
func (p *Post) Counts() Counts {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts
}

// Close lets Next return, after the last answers.
func (p *Post) Close() {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.wake.Broadcast()
}

// Next waits until there is something to tell, and appends one message that tells it: an array of the
// answers and an array of [seat, [arrivals]]. It gives false once the post is closed and has
// no answers left.
func (p *Post) Next(b []byte) ([]byte, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for !p.closed && p.asked == 0 && (len(p.ready) == 0 || p.credit <= 0) {
		p.wake.Wait()
	}
	if p.closed && p.asked == 0 {
		return b, false
	}
	b = pack.AppendArray(b, 2)
	b = pack.AppendArray(b, p.asked)
	b = append(b, p.answers...)
	p.answers, p.asked = p.answers[:0], 0
	if cap(p.answers) > 1<<20 {
		p.answers = nil
	}
	if len(p.ready) == 0 || p.credit <= 0 || p.closed {
		return pack.AppendArray(b, 0), true
	}
	p.credit--
	return p.appendArrivals(b), true
}

// appendArrivals gives each waiting room a chunk of the message in turn, until the message is full.
func (p *Post) appendArrivals(b []byte) []byte {
	start, parts, full := len(b), 0, len(b)+batchBytes
	b = append(b, 0xdc, 0, 0) // the head of an array whose length is known only at the end
	for len(p.ready) > 0 && len(b) < full && parts < 1<<16-1 {
		box := p.ready[0]
		p.ready = p.ready[1:]
		first := box.chunks[0]
		box.chunks = box.chunks[1:]
		box.frames -= first.frames
		box.bytes -= len(first.data)
		p.bytes -= len(first.data)
		p.counts.Frames += int64(first.frames)
		b = pack.AppendArray(b, 2)
		b = pack.AppendInt(b, box.seat)
		b = pack.AppendArray(b, first.items)
		b = append(b, first.data...)
		chunks.put(first.data)
		parts++
		if len(box.chunks) > 0 {
			p.ready = append(p.ready, box)
			continue
		}
		box.waiting = false
		box.chunks = nil
		clear(box.senders)
	}
	if len(p.ready) == 0 {
		p.ready = nil // or the slice would creep through memory
	}
	b[start+1], b[start+2] = byte(parts>>8), byte(parts)
	return b
}

type chunk struct {
	data   []byte
	items  int
	frames int // items that are frames, not events
}

// pool keeps the memory of emptied chunks for the next ones.
type pool struct{ sync.Pool }

var chunks pool

func (p *pool) get() []byte {
	if b, ok := p.Pool.Get().(*[]byte); ok {
		return (*b)[:0]
	}
	return make([]byte, 0, 2<<10)
}

func (p *pool) put(b []byte) {
	if cap(b) <= 2*chunkBytes {
		p.Pool.Put(&b)
	}
}
