package hall

import (
	"bytes"
	"compress/flate"
	"io"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/livekit/protocol/livekit"
	"google.golang.org/protobuf/encoding/protowire"
)

const (
	maxStreams       = 500 // text streams of one room that may be under way at once
	maxSenderStreams = 16  // of one sender
	maxStreamsBytes  = 8 << 20
	streamIdle       = 30 * time.Second // one that nothing came of for so long makes room for others
)

// streamKey holds the sender, so that nobody's chunk ends up in another's stream.
type streamKey struct{ sender, id string }

// stream is a text stream under way.
type stream struct {
	topic    string
	to       []string // whom it was addressed to, or nobody in particular
	total    int      // as announced, or -1
	deflated bool
	cut      bool // it is longer than what is kept of it
	data     []byte
	last     time.Time
}

func (s *Seat) streamHeader(header *livekit.DataStream_Header, sender string, to []string) {
	if header.GetByteHeader() != nil {
		s.box.BytesDropped() // its chunks are chunks of no stream
		return
	}
	if header.GetTextHeader() == nil || !slices.Contains(s.options.Topics, header.GetTopic()) {
		return
	}
	inline, deflated, ok := parseExtension(header.ProtoReflect().GetUnknown())
	if !ok {
		s.box.TextDropped()
		return
	}
	opened := &stream{topic: header.GetTopic(), to: to, total: -1, deflated: deflated, data: inline, last: time.Now()}
	if header.TotalLength != nil {
		opened.total = int(header.GetTotalLength())
	}
	if inline != nil { // the whole of it is here, and nothing follows
		s.streamDone(streamKey{sender, header.GetStreamId()}, opened)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.roomForStream(sender) {
		s.box.TextDropped()
		return
	}
	s.streams[streamKey{sender, header.GetStreamId()}] = opened
}

// Fields of livekit.DataStream.Header that are newer than the SDK's protocol: clients that see nobody in the
// room who could not read them use them, and they don't see us.
const (
	fieldInline      protowire.Number = 11 // the content of a short stream
	fieldCompression protowire.Number = 12
	deflateRaw                        = 1
)

// parseExtension reads the newer fields. It gives false for a compression that it doesn't know.
func parseExtension(unknown []byte) (inline []byte, deflated, ok bool) {
	for len(unknown) > 0 {
		number, kind, n := protowire.ConsumeTag(unknown)
		if n < 0 {
			return nil, false, false
		}
		unknown = unknown[n:]
		switch {
		case number == fieldInline && kind == protowire.BytesType:
			var value []byte
			if value, n = protowire.ConsumeBytes(unknown); n >= 0 {
				inline = append([]byte{}, value...)
			}
		case number == fieldCompression && kind == protowire.VarintType:
			var value uint64
			if value, n = protowire.ConsumeVarint(unknown); n >= 0 && value > deflateRaw {
				return nil, false, false
			}
			deflated = value == deflateRaw
		default:
			n = protowire.ConsumeFieldValue(number, kind, unknown)
		}
		if n < 0 {
			return nil, false, false
		}
		unknown = unknown[n:]
	}
	return inline, deflated, true
}

// roomForStream makes room for another stream by giving up idle ones, if it has to.
func (s *Seat) roomForStream(sender string) bool {
	mine, bytes, idle := 0, 0, time.Now().Add(-streamIdle)
	for key, one := range s.streams {
		if one.last.Before(idle) {
			s.dropStream(key)
			continue
		}
		bytes += len(one.data)
		if key.sender == sender {
			mine++
		}
	}
	return len(s.streams) < maxStreams && mine < maxSenderStreams && bytes < maxStreamsBytes
}

func (s *Seat) streamChunk(chunk *livekit.DataStream_Chunk, sender string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := streamKey{sender, chunk.GetStreamId()}
	one := s.streams[key]
	if one == nil {
		return
	}
	content := chunk.GetContent()
	if room := s.options.MaxStream - len(one.data); len(content) > room {
		content, one.cut = content[:room], true
	}
	one.data = append(one.data, content...)
	one.last = time.Now()
}

func (s *Seat) streamTrailer(trailer *livekit.DataStream_Trailer, sender string) {
	s.mu.Lock()
	key := streamKey{sender, trailer.GetStreamId()}
	one := s.streams[key]
	delete(s.streams, key)
	s.mu.Unlock()
	switch {
	case one == nil:
	case trailer.GetReason() == "":
		s.streamDone(key, one)
	default:
		s.box.TextDropped()
	}
}

// streamDone hands on a stream that is complete; of one that is too long, its beginning.
func (s *Seat) streamDone(key streamKey, one *stream) {
	data, limit, whole := one.data, s.options.MaxStream, true
	if one.deflated {
		data, whole = inflate(data, limit)
	}
	if len(data) > limit {
		data, one.cut = data[:limit], true
	}
	switch {
	case one.cut:
		data = wholeRunes(data)
	case !whole || (one.total >= 0 && one.total != len(data)):
		s.box.TextDropped() // a part of it is missing
		return
	}
	if !utf8.Valid(data) {
		s.box.TextDropped()
		return
	}
	s.box.Chat(data, key.sender, one.topic, key.id, one.to)
}

// wholeRunes leaves out the part of a character at the end.
func wholeRunes(data []byte) []byte {
	for n := 1; n < utf8.UTFMax && n <= len(data); n++ {
		if last := data[len(data)-n:]; utf8.RuneStart(last[0]) {
			if !utf8.FullRune(last) {
				return data[:len(data)-n]
			}
			break
		}
	}
	return data
}

// inflate gives the inflated data, and at most one byte more than the limit: a few bytes can be made to inflate to any
// length. It gives false where the data is broken or ends too early.
func inflate(data []byte, limit int) ([]byte, bool) {
	inflated, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(data)), int64(limit)+1))
	return inflated, err == nil
}

func (s *Seat) dropStreams(sender string) {
	for key := range s.streams {
		if key.sender == sender {
			s.dropStream(key)
		}
	}
}

func (s *Seat) dropStream(key streamKey) {
	delete(s.streams, key)
	s.box.TextDropped()
}
