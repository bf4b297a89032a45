package pack

import (
	"bytes"
	"math"
	"strings"
	"testing"
)

func TestWhatIsWrittenIsRead(t *testing.T) {
	ints := []int64{0, 1, 127, 128, 255, 256, 65535, 65536, math.MaxUint32, math.MaxUint32 + 1, math.MaxInt64}
	lengths := []int{0, 1, 15, 16, 31, 32, 255, 256, 65535, 65536}
	var b []byte
	for _, v := range ints {
		b = AppendInt(b, v)
	}
	for _, n := range lengths {
		b = AppendString(b, strings.Repeat("é", n/2))
		b = AppendBytes(b, bytes.Repeat([]byte{0xff}, n))
	}
	for _, n := range lengths {
		b = AppendArray(b, n)
		for range n {
			b = AppendBool(b, n%2 == 0)
		}
	}
	b = AppendFloat(b, -1.5e300)
	r := NewReader(b)
	for _, want := range ints {
		if got := r.Int(); got != want {
			t.Fatalf("integer: got %d, want %d", got, want)
		}
	}
	for _, n := range lengths {
		if got := r.String(); got != strings.Repeat("é", n/2) {
			t.Fatalf("string of %d: got %d bytes", n, len(got))
		}
		if got := r.Bytes(); !bytes.Equal(got, bytes.Repeat([]byte{0xff}, n)) {
			t.Fatalf("bytes of %d: got %d", n, len(got))
		}
	}
	for _, n := range lengths {
		if got := r.Array(); got != n {
			t.Fatalf("array of %d: got %d", n, got)
		}
		for range n {
			if got := r.Bool(); got != (n%2 == 0) {
				t.Fatalf("boolean in an array of %d: got %v", n, got)
			}
		}
	}
	if got := r.Float(); got != -1.5e300 {
		t.Fatalf("float: got %g", got)
	}
	if r.Err() != nil || r.Len() != 0 {
		t.Fatalf("at the end: %v, %d bytes left", r.Err(), r.Len())
	}
}

func TestAfterAFailureNothingIsRead(t *testing.T) {
	r := NewReader([]byte{0xc0, 0x01})
	if r.Int() != 0 || r.Err() == nil || r.Int() != 0 || r.Len() != 0 {
		t.Fatal("a failed reader goes on reading")
	}
}

// FuzzReader looks for bytes that make the reader panic, or allocate for what isn't there.
func FuzzReader(f *testing.F) {
	f.Add(AppendString(AppendArray(nil, 2), "relay"))
	f.Add([]byte{0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, read := range []func(*Reader){
			func(r *Reader) { r.Int() }, func(r *Reader) { r.Float() }, func(r *Reader) { r.Bool() },
			func(r *Reader) { _ = r.String() }, func(r *Reader) { r.Bytes() }, func(r *Reader) { r.Strings() },
		} {
			r := NewReader(data)
			for r.Len() > 0 {
				read(r)
			}
		}
	})
}
