package mail

import "relay-bot/native/relay-link/internal/pack"

// What an arrival begins with; docs/link-protocol.md lists what follows.
const (
	tagFrame = iota
	tagRPC
	tagJoined
	tagLeft
	tagChanged
	tagInterrupted
	tagResumed
	tagLost
	tagEncrypted
)

// Box holds what one room has to tell, in order.
type Box struct {
	post    *Post
	seat    int64
	held    bool // nothing leaves it before the room is joined
	waiting bool // it is among post.ready
	closed  bool
	told    bool // that packets come encrypted
	chunks  []chunk
	frames  int
	bytes   int
	senders map[string]int // frames of each since the box was last empty
}

// NewBox makes the box of a seat. What is put into it stays there until Release.
func (p *Post) NewBox(seat int64) *Box {
	return &Box{post: p, seat: seat, held: true, senders: map[string]int{}}
}

// Release lets the box's contents go out, and all that comes after.
func (x *Box) Release() {
	x.post.mu.Lock()
	defer x.post.mu.Unlock()
	x.held = false
	x.announce()
}

// Close throws the contents away and takes nothing more.
func (x *Box) Close() {
	x.post.mu.Lock()
	defer x.post.mu.Unlock()
	x.empty()
	x.closed = true
}

// Packet puts a data packet in, with those it was addressed to, if any. It tells whether there was room.
func (x *Box) Packet(data, sender, topic []byte, reliable bool, to []string) bool {
	x.post.mu.Lock()
	defer x.post.mu.Unlock()
	if !x.admits(sender, len(data)+size(to), !reliable) {
		return false
	}
	b := x.begin(true)
	if len(to) == 0 {
		b = append(b, 0x97, tagFrame) // an array of 7
	} else {
		b = append(b, 0x99, tagFrame)
	}
	b = pack.AppendBytes(b, data)
	b = pack.AppendString(b, sender)
	b = pack.AppendFloat(b, x.post.now())
	b = pack.AppendString(b, "packet")
	b = pack.AppendString(b, topic)
	b = pack.AppendBool(b, reliable)
	if len(to) > 0 {
		b = appendStrings(pack.AppendString(b, ""), to)
	}
	x.end(b)
	return true
}

// Chat puts a whole text stream in, with those it was addressed to. It tells whether there was room.
func (x *Box) Chat(data []byte, sender, topic, streamID string, to []string) bool {
	x.post.mu.Lock()
	defer x.post.mu.Unlock()
	if !x.admits([]byte(sender), len(data)+size(to), false) {
		return false
	}
	b := x.begin(true)
	b = append(b, 0x99, tagFrame)
	b = pack.AppendBytes(b, data)
	b = pack.AppendString(b, sender)
	b = pack.AppendFloat(b, x.post.now())
	b = pack.AppendString(b, "chat")
	b = pack.AppendString(b, topic)
	b = pack.AppendBool(b, true)
	b = pack.AppendString(b, streamID)
	b = appendStrings(b, to)
	x.end(b)
	return true
}

func appendStrings(b []byte, all []string) []byte {
	b = pack.AppendArray(b, len(all))
	for _, one := range all {
		b = pack.AppendString(b, one)
	}
	return b
}

// size is about what these take in a message.
func size(all []string) int {
	sum := 0
	for _, one := range all {
		sum += len(one) + 5
	}
	return sum
}

// TextDropped counts a text stream that was dropped before it was whole.
func (x *Box) TextDropped() {
	x.post.mu.Lock()
	x.post.counts.Texts++
	x.post.mu.Unlock()
}

// Encrypted counts a packet that only those with a key can read, and tells of the first one.
func (x *Box) Encrypted() bool {
	x.post.mu.Lock()
	defer x.post.mu.Unlock()
	x.post.counts.Encrypted++
	if x.told {
		return true
	}
	x.told = true
	return x.event([]byte{0x91, tagEncrypted})
}

// BytesDropped counts a byte stream.
func (x *Box) BytesDropped() {
	x.post.mu.Lock()
	x.post.counts.Bytes++
	x.post.mu.Unlock()
}

// RPC puts a request in, to be answered under its id. It tells whether there was room.
func (x *Box) RPC(data, sender, request string) bool {
	x.post.mu.Lock()
	defer x.post.mu.Unlock()
	if !x.admits([]byte(sender), len(data), false) {
		return false
	}
	b := x.begin(true)
	b = append(b, 0x95, tagRPC)
	b = pack.AppendBytes(b, []byte(data))
	b = pack.AppendString(b, sender)
	b = pack.AppendFloat(b, x.post.now())
	b = pack.AppendString(b, request)
	x.end(b)
	return true
}

// Joined tells that someone is in the room, and whether they were before us. The encoded presence is a map.
func (x *Box) Joined(presence []byte, before bool) bool {
	x.post.mu.Lock()
	defer x.post.mu.Unlock()
	stamp := x.post.now()
	if before {
		stamp -= 60 // known for long, as far as the bot is concerned
	}
	return x.event(pack.AppendFloat(append([]byte{0x93, tagJoined}, presence...), stamp))
}

// Left tells that someone left.
func (x *Box) Left(identity string) bool {
	return x.locked(pack.AppendString([]byte{0x92, tagLeft}, identity))
}

// Changed tells that someone's presence is another one now.
func (x *Box) Changed(presence []byte) bool {
	return x.locked(append([]byte{0x92, tagChanged}, presence...))
}

// Interrupted tells that the connection broke and is being mended.
func (x *Box) Interrupted() bool { return x.locked([]byte{0x91, tagInterrupted}) }

// Resumed tells that the connection is mended, to the room with this sid.
func (x *Box) Resumed(sid string) bool {
	return x.locked(pack.AppendString([]byte{0x92, tagResumed}, sid))
}

// Lost tells that the seat is gone, and takes nothing after it. With `clear` what waits is thrown away first.
func (x *Box) Lost(reason, detail string, clear bool) {
	x.post.mu.Lock()
	defer x.post.mu.Unlock()
	if clear {
		x.empty()
	}
	if !x.closed {
		x.end(pack.AppendString(pack.AppendString(append(x.begin(false), 0x93, tagLost), reason), detail))
		x.closed = true
	}
}

func (x *Box) locked(encoded []byte) bool {
	x.post.mu.Lock()
	defer x.post.mu.Unlock()
	return x.event(encoded)
}

// event puts in what must not get lost, or the bot's picture of the room would be false. Where even the
// room for events is full, it gives false, and the seat has to be given up.
func (x *Box) event(encoded []byte) bool {
	if x.closed {
		return true
	}
	if x.bytes+len(encoded) > hardBytes+eventBytes {
		return false
	}
	x.end(append(x.begin(false), encoded...))
	return true
}

// admits decides whether a frame is taken, and counts those that are not.
func (x *Box) admits(sender []byte, size int, lossy bool) bool {
	p := x.post
	if x.closed {
		return false
	}
	sent := x.senders[string(sender)] + 1
	switch {
	case x.frames >= hardFrames || x.bytes+size > hardBytes || p.bytes+size > totalBytes:
		p.counts.Overflow++
		return false
	case x.frames < softFrames && x.bytes < softBytes:
	case lossy:
		p.counts.Lossy++
		return false
	case sent > x.frames/fairShare:
		p.counts.Flooded++
		return false
	}
	x.senders[string(sender)] = sent
	return true
}

// begin gives the memory to append an item to; end takes it back.
func (x *Box) begin(frame bool) []byte {
	if n := len(x.chunks); n == 0 || len(x.chunks[n-1].data) >= chunkBytes || x.chunks[n-1].items == 1<<16-1 {
		x.chunks = append(x.chunks, chunk{data: chunks.get()})
	}
	last := &x.chunks[len(x.chunks)-1]
	last.items++
	if frame {
		last.frames++
		x.frames++
	}
	return last.data
}

func (x *Box) end(b []byte) {
	last := &x.chunks[len(x.chunks)-1]
	grown := len(b) - len(last.data)
	last.data = b
	x.bytes += grown
	x.post.bytes += grown
	x.announce()
}

func (x *Box) announce() {
	if x.held || x.waiting || len(x.chunks) == 0 {
		return
	}
	x.waiting = true
	x.post.ready = append(x.post.ready, x)
	x.post.wake.Signal()
}

func (x *Box) empty() {
	x.post.bytes -= x.bytes
	x.chunks, x.frames, x.bytes = nil, 0, 0
	clear(x.senders)
	if x.waiting {
		x.waiting = false
		for i, box := range x.post.ready {
			if box == x {
				x.post.ready = append(x.post.ready[:i], x.post.ready[i+1:]...)
				break
			}
		}
	}
}
