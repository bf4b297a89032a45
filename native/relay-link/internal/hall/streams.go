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
	total    int // as announced, or -1
	deflated bool
	data     []byte
	last     time.Time
}

func (s *Seat) streamHeader(header *livekit.DataStream_Header, sender string) {
	if header.GetByteHeader() != nil {
		s.box.BytesDropped() // its chunks are chunks of no stream
		return
	}
	if header.GetTextHeader() == nil || !slices.Contains(s.options.Topics, header.GetTopic()) {
		return
	}
	inline, deflated, ok := parseExtension(header.ProtoReflect().GetUnknown())
	if !ok || header.GetTotalLength() > uint64(s.options.MaxStream) {
		s.box.TextDropped()
		return
	}
	opened := &stream{topic: header.GetTopic(), total: -1, deflated: deflated, data: inline, last: time.Now()}
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
	if len(one.data)+len(chunk.GetContent()) > s.options.MaxStream {
		s.dropStream(key)
		return
	}
	one.data = append(one.data, chunk.GetContent()...)
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

// streamDone hands on a stream that is complete.
func (s *Seat) streamDone(key streamKey, one *stream) {
	data := one.data
	if one.deflated {
		data = inflate(data, s.options.MaxStream)
	}
	if len(data) <= s.options.MaxStream && (one.total < 0 || one.total == len(data)) && utf8.Valid(data) {
		s.box.Chat(data, key.sender, one.topic, key.id)
		return
	}
	s.box.TextDropped()
}

// inflate gives the inflated data, or one byte more than the limit if it is longer or broken: a few bytes can be
// made to inflate to any length.
func inflate(data []byte, limit int) []byte {
	inflated, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(data)), int64(limit)+1))
	if err != nil {
		return make([]byte, limit+1)
	}
	return inflated
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
