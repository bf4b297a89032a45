// Package pack reads and writes the part of MessagePack that the link protocol uses.
package pack

import (
	"encoding/binary"
	"errors"
	"math"
)

// AppendNil appends nil.
func AppendNil(b []byte) []byte { return append(b, 0xc0) }

// AppendBool appends a boolean.
func AppendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 0xc3)
	}
	return append(b, 0xc2)
}

// AppendInt appends an integer that is not negative.
func AppendInt(b []byte, v int64) []byte {
	switch {
	case v < 0x80:
		return append(b, byte(v))
	case v <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(b, 0xce), uint32(v))
	default:
		return binary.BigEndian.AppendUint64(append(b, 0xcf), uint64(v))
	}
}

// AppendFloat appends a float64.
func AppendFloat(b []byte, v float64) []byte {
	return binary.BigEndian.AppendUint64(append(b, 0xcb), math.Float64bits(v))
}

// AppendString appends a string, which must be valid UTF-8.
func AppendString[T string | []byte](b []byte, v T) []byte {
	switch n := len(v); {
	case n < 32:
		b = append(b, 0xa0|byte(n))
	case n < 1<<8:
		b = append(b, 0xd9, byte(n))
	case n < 1<<16:
		b = append(b, 0xda, byte(n>>8), byte(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, 0xdb), uint32(n))
	}
	return append(b, v...)
}

// AppendBytes appends binary data.
func AppendBytes(b, v []byte) []byte {
	switch n := len(v); {
	case n < 1<<8:
		b = append(b, 0xc4, byte(n))
	case n < 1<<16:
		b = append(b, 0xc5, byte(n>>8), byte(n))
	default:
		b = binary.BigEndian.AppendUint32(append(b, 0xc6), uint32(n))
	}
	return append(b, v...)
}

// AppendArray appends the head of an array of n items; the items are appended after it.
func AppendArray(b []byte, n int) []byte {
	switch {
	case n < 16:
		return append(b, 0x90|byte(n))
	case n < 1<<16:
		return append(b, 0xdc, byte(n>>8), byte(n))
	default:
		return binary.BigEndian.AppendUint32(append(b, 0xdd), uint32(n))
	}
}

// AppendMap appends the head of a map of n pairs; keys and values are appended after it.
func AppendMap(b []byte, n int) []byte {
	switch {
	case n < 16:
		return append(b, 0x80|byte(n))
	case n < 1<<16:
		return append(b, 0xde, byte(n>>8), byte(n))
	default:
		return binary.BigEndian.AppendUint32(append(b, 0xdf), uint32(n))
	}
}

// ErrMalformed says that what was read is not what was to be read.
var ErrMalformed = errors.New("malformed message")

// Reader takes values from a message. After the first failure all it gives are zero values, and Err tells.
type Reader struct {
	rest   []byte
	failed bool
}

// NewReader reads b, whose memory the bytes it gives share.
func NewReader(b []byte) *Reader { return &Reader{rest: b} }

// Err is ErrMalformed if anything could not be read.
func (r *Reader) Err() error {
	if r.failed {
		return ErrMalformed
	}
	return nil
}

// Len tells how many bytes are still to be read.
func (r *Reader) Len() int { return len(r.rest) }

func (r *Reader) fail() {
	r.failed = true
	r.rest = nil
}

func (r *Reader) take(n int) []byte {
	if n < 0 || n > len(r.rest) {
		r.fail()
		return nil
	}
	taken := r.rest[:n:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *Reader) head() byte {
	if b := r.take(1); b != nil {
		return b[0]
	}
	return 0xc1 // never used by MessagePack, so no caller takes it for anything
}

// size reads a big-endian length of n bytes.
func (r *Reader) size(n int) int {
	v := 0
	for _, b := range r.take(n) {
		v = v<<8 | int(b)
	}
	return v
}

// Int reads an integer that is not negative.
func (r *Reader) Int() int64 {
	switch h := r.head(); {
	case h < 0x80:
		return int64(h)
	case h >= 0xcc && h <= 0xcf:
		if v := r.size(1 << (h - 0xcc)); v >= 0 {
			return int64(v)
		}
	}
	r.fail()
	return 0
}

// Nil reads nil.
func (r *Reader) Nil() {
	if r.head() != 0xc0 {
		r.fail()
	}
}

// Float reads a float64.
func (r *Reader) Float() float64 {
	if r.head() == 0xcb {
		if b := r.take(8); b != nil {
			return math.Float64frombits(binary.BigEndian.Uint64(b))
		}
	}
	r.fail()
	return 0
}

// Bool reads a boolean.
func (r *Reader) Bool() bool {
	switch r.head() {
	case 0xc2:
		return false
	case 0xc3:
		return true
	}
	r.fail()
	return false
}

// String reads a string.
func (r *Reader) String() string {
	switch h := r.head(); {
	case h&0xe0 == 0xa0:
		return string(r.take(int(h & 0x1f)))
	case h >= 0xd9 && h <= 0xdb:
		return string(r.take(r.size(1 << (h - 0xd9))))
	}
	r.fail()
	return ""
}

// Bytes reads binary data; it shares the message's memory.
func (r *Reader) Bytes() []byte {
	if h := r.head(); h >= 0xc4 && h <= 0xc6 {
		return r.take(r.size(1 << (h - 0xc4)))
	}
	r.fail()
	return nil
}

// Array reads the head of an array and gives its length, which is never more than there are bytes left.
func (r *Reader) Array() int {
	n := -1
	switch h := r.head(); {
	case h&0xf0 == 0x90:
		n = int(h & 0x0f)
	case h == 0xdc || h == 0xdd:
		n = r.size(2 << (h - 0xdc))
	}
	if n < 0 || n > len(r.rest) {
		r.fail()
		return 0
	}
	return n
}

// Strings reads an array of strings.
func (r *Reader) Strings() []string {
	n := r.Array()
	if n == 0 {
		return nil
	}
	items := make([]string, n)
	for i := range items {
		items[i] = r.String()
	}
	return items
}
