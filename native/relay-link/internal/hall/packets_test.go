package hall

import (
	"bytes"
	"compress/flate"
	"slices"
	"testing"

	"github.com/livekit/protocol/livekit"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

func userData(t testing.TB, sender, topic string, payload []byte) []byte {
	t.Helper()
	data, err := proto.Marshal(&livekit.DataPacket{
		ParticipantIdentity:   sender,
		DestinationIdentities: []string{"relay-bot", "another"},
		Sequence:              70_000,
		ParticipantSid:        "PA_x",
		Value: &livekit.DataPacket_User{User: &livekit.UserPacket{
			Payload: payload, Topic: proto.String(topic), Id: proto.String("id"), StartTime: proto.Uint64(5),
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestAUsersPacketIsReadAsProtobufReadsIt(t *testing.T) {
	for _, payload := range [][]byte{nil, []byte("x"), bytes.Repeat([]byte{0}, 60_000)} {
		got, ok := parseUser(userData(t, "änn", "relay", payload))
		if !ok || string(got.sender) != "änn" || string(got.topic) != "relay" ||
			!slices.Equal(got.addressees(), []string{"relay-bot", "another"}) || !bytes.Equal(got.payload, payload) {
			t.Fatalf("%d bytes: %v %q %q", len(payload), ok, got.sender, got.topic)
		}
	}
}

func TestOtherPacketsAreLeftToProtobuf(t *testing.T) {
	request := &livekit.DataPacket{Value: &livekit.DataPacket_RpcRequest{RpcRequest: &livekit.RpcRequest{Id: "1"}}}
	data, err := proto.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := parseUser(data); ok {
		t.Fatal("a request was taken for a user's packet")
	}
}

// FuzzParseUser holds the short cut to protobuf: whatever it accepts, protobuf reads the same way.
func FuzzParseUser(f *testing.F) {
	f.Add(userData(f, "ann", "relay", []byte("{}")))
	f.Add([]byte{0x12, 0x7f})
	f.Fuzz(func(t *testing.T, data []byte) {
		got, ok := parseUser(data)
		packet := &livekit.DataPacket{}
		if !ok || proto.Unmarshal(data, packet) != nil || packet.GetUser() == nil {
			return
		}
		if string(got.sender) != packet.GetParticipantIdentity() {
			t.Fatalf("sender %q, protobuf reads %q", got.sender, packet.GetParticipantIdentity())
		}
		if to := packet.GetDestinationIdentities(); len(to) > 0 && !slices.Equal(got.addressees(), to) {
			t.Fatalf("to %q, protobuf reads %q", got.addressees(), to)
		}
	})
}

func TestTheNewerFieldsOfAStreamsHeader(t *testing.T) {
	header := protowire.AppendTag(nil, fieldInline, protowire.BytesType)
	header = protowire.AppendBytes(header, []byte("short"))
	header = protowire.AppendTag(header, fieldCompression, protowire.VarintType)
	header = protowire.AppendVarint(header, deflateRaw)
	inline, deflated, ok := parseExtension(header)
	if string(inline) != "short" || !deflated || !ok {
		t.Fatalf("read %q %v %v", inline, deflated, ok)
	}
	if inline, _, ok := parseExtension(nil); inline != nil || !ok {
		t.Fatal("a header without them is one without content")
	}
	header = protowire.AppendVarint(protowire.AppendTag(nil, fieldCompression, protowire.VarintType), 2)
	if _, _, ok := parseExtension(header); ok {
		t.Fatal("a compression that nobody knows was taken")
	}
}

func TestInflatingHasABound(t *testing.T) {
	var bomb bytes.Buffer
	writer, _ := flate.NewWriter(&bomb, flate.BestCompression)
	_, _ = writer.Write(make([]byte, 50<<20))
	_ = writer.Close()
	if got, ok := inflate(bomb.Bytes(), 60_000); len(got) != 60_001 || !ok {
		t.Fatalf("inflated to %d bytes: %v", len(got), ok)
	}
	if got, ok := inflate([]byte("no deflate at all"), 60_000); ok {
		t.Fatalf("nonsense inflated to %d bytes", len(got))
	}
}

func BenchmarkParseUser(b *testing.B) {
	data := userData(b, "participant-17", "", make([]byte, 250))
	b.ReportAllocs()
	for b.Loop() {
		parseUser(data)
	}
}

func BenchmarkProtobuf(b *testing.B) {
	data := userData(b, "participant-17", "", make([]byte, 250))
	b.ReportAllocs()
	for b.Loop() {
		_ = proto.Unmarshal(data, &livekit.DataPacket{})
	}
}
