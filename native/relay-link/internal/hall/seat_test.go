package hall

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/livekit/protocol/livekit"
	"google.golang.org/protobuf/proto"

	"relay-bot/native/relay-link/internal/mail"
	"relay-bot/native/relay-link/internal/pack"
)

// told remembers what a seat answers.
type told struct {
	mu        sync.Mutex
	joined    chan error
	published map[int64]error
}

func newTold() *told { return &told{joined: make(chan error, 1), published: map[int64]error{}} }

func (t *told) Joined(_ int64, _ string, err error) { t.joined <- err }
func (t *told) Gone(int64)                          {}
func (t *told) Published(id int64, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.published[id] = err
}

// seated is a seat that was taken, as far as it knows.
func seated() (*Seat, *mail.Post, *told) {
	post, answers := mail.NewPost(100), newTold()
	s := New(Options{Seat: 1, Topics: []string{"lk.chat"}, Methods: []string{"relay"}, MaxStream: 100}, post, answers)
	s.joined, s.own, s.sid = true, &livekit.ParticipantInfo{Identity: "relay-bot", Sid: "PA_bot"}, "RM_1"
	s.box.Release()
	return s, post, answers
}

// tags gives the tags of all that a seat has told since the last time.
func tags(t *testing.T, post *mail.Post) []int64 {
	t.Helper()
	post.Answer(pack.AppendArray(nil, 0)) // so that there is a message in any case
	b, _ := post.Next(nil)
	r := pack.NewReader(b)
	r.Array()
	for range r.Array() {
		r.Array()
	}
	var found []int64
	for range r.Array() {
		r.Array()
		r.Int()
		for range r.Array() {
			r.Array()
			found = append(found, r.Int())
			switch found[len(found)-1] {
			case 3:
				_ = r.String()
			default:
				return found // what follows is not needed
			}
		}
	}
	return found
}

func person(sid string, version uint32, state livekit.ParticipantInfo_State) *livekit.ParticipantInfo {
	return &livekit.ParticipantInfo{Identity: "ann", Sid: sid, Version: version, State: state}
}

func TestTheRosterTellsWhatChanged(t *testing.T) {
	s, post, _ := seated()
	active, gone := livekit.ParticipantInfo_ACTIVE, livekit.ParticipantInfo_DISCONNECTED
	for _, step := range []struct {
		info *livekit.ParticipantInfo
		tag  int64
		what string
	}{
		{person("PA_1", 2, active), 2, "joined"},
		{person("PA_1", 2, active), -1, "the same again"},
		{person("PA_1", 3, livekit.ParticipantInfo_JOINED), 4, "changed"},
		{person("PA_1", 1, active), -1, "an older version"},
		{person("PA_0", 9, gone), -1, "the end of an earlier session"},
		{person("PA_1", 4, gone), 3, "left"},
		{person("PA_1", 5, gone), -1, "left already"},
		{&livekit.ParticipantInfo{Identity: "relay-bot", Sid: "PA_bot"}, -1, "ourselves"},
	} {
		s.participant(step.info)
		found := tags(t, post)
		if (step.tag < 0 && len(found) > 0) || (step.tag >= 0 && (len(found) != 1 || found[0] != step.tag)) {
			t.Fatalf("%s: told %v", step.what, found)
		}
	}
}

func TestOneWhoComesAgainUnderTheSameIdentityLeavesFirst(t *testing.T) {
	s, post, _ := seated()
	s.participant(person("PA_1", 5, livekit.ParticipantInfo_ACTIVE))
	tags(t, post)
	s.participant(person("PA_2", 1, livekit.ParticipantInfo_ACTIVE))
	if found := tags(t, post); len(found) != 2 || found[0] != 3 || found[1] != 2 {
		t.Fatalf("told %v", found)
	}
}

func TestARosterThatIsReplacedTellsTheDifferences(t *testing.T) {
	s, post, _ := seated()
	s.participant(person("PA_1", 5, livekit.ParticipantInfo_ACTIVE))
	tags(t, post)
	s.replaceRoster(nil, false)
	if found := tags(t, post); len(found) != 1 || found[0] != 3 {
		t.Fatalf("told %v", found)
	}
}

func header(id string, length uint64) *livekit.DataStream_Header {
	return &livekit.DataStream_Header{
		StreamId: id, Topic: "lk.chat", TotalLength: &length,
		ContentHeader: &livekit.DataStream_Header_TextHeader{TextHeader: &livekit.DataStream_TextHeader{}},
	}
}

func TestAStreamTakesNobodyElsesChunks(t *testing.T) {
	s, post, _ := seated()
	chunk := &livekit.DataStream_Chunk{StreamId: "1", Content: []byte("abc")}
	end := &livekit.DataStream_Trailer{StreamId: "1"}
	s.streamHeader(header("1", 3), "ann", nil)
	s.streamChunk(chunk, "mallory")
	s.streamTrailer(end, "mallory")
	if found := tags(t, post); len(found) != 0 {
		t.Fatalf("told %v", found)
	}
	s.streamChunk(chunk, "ann")
	s.streamTrailer(end, "ann")
	if found := tags(t, post); len(found) != 1 || found[0] != 0 {
		t.Fatalf("told %v", found)
	}
}

func TestStreamsHaveBounds(t *testing.T) {
	s, post, _ := seated()
	for n := range 2 * maxSenderStreams {
		s.streamHeader(header(string(rune('a'+n)), 5), "ann", nil)
	}
	if len(s.streams) != maxSenderStreams {
		t.Fatalf("%d streams of one sender", len(s.streams))
	}
	s.streamChunk(&livekit.DataStream_Chunk{StreamId: "b", Content: make([]byte, 4)}, "ann") // and 5 were announced
	s.streamTrailer(&livekit.DataStream_Trailer{StreamId: "b"}, "ann")
	if found := tags(t, post); len(found) != 0 {
		t.Fatalf("told %v", found)
	}
	for _, one := range s.streams {
		one.last = time.Now().Add(-2 * streamIdle)
	}
	s.streamHeader(header("new", 5), "ann", nil)
	if len(s.streams) != 1 {
		t.Fatalf("%d streams after all stood still", len(s.streams))
	}
	s.participant(person("PA_1", 1, livekit.ParticipantInfo_ACTIVE))
	s.participant(person("PA_1", 2, livekit.ParticipantInfo_DISCONNECTED))
	if len(s.streams) != 0 {
		t.Fatal("the streams of one who left are kept")
	}
	// The sender's seventeenth to last, one that broke, all that stood still, the new one.
	if dropped := post.Counts().Texts; dropped != maxSenderStreams+maxSenderStreams+1 {
		t.Fatalf("%d counted", dropped)
	}
}

func TestOfALongStreamTheBeginningIsHandedOn(t *testing.T) {
	for name, test := range map[string]struct {
		parts []string
		want  string
	}{
		"announced":    {[]string{strings.Repeat("x", 90), strings.Repeat("y", 90)}, strings.Repeat("x", 90) + strings.Repeat("y", 10)},
		"at an end":    {[]string{strings.Repeat("x", 100), "y", "z"}, strings.Repeat("x", 100)},
		"in a letter":  {[]string{strings.Repeat("x", 98), "\U0001f600"}, strings.Repeat("x", 98)},
		"whole letter": {[]string{strings.Repeat("x", 96), "\U0001f600", "y"}, strings.Repeat("x", 96) + "\U0001f600"},
	} {
		s, post, _ := seated()
		length := len(strings.Join(test.parts, ""))
		s.streamHeader(header("1", uint64(length)), "ann", []string{"bob", "relay-bot"})
		for _, part := range test.parts {
			s.streamChunk(&livekit.DataStream_Chunk{StreamId: "1", Content: []byte(part)}, "ann")
		}
		s.streamTrailer(&livekit.DataStream_Trailer{StreamId: "1"}, "ann")
		data, to := frame(t, post)
		if data != test.want || !slices.Equal(to, []string{"bob", "relay-bot"}) {
			t.Fatalf("%s: handed on %q to %v", name, data, to)
		}
	}
}

func TestAPacketIsHandedOnWithItsAddressees(t *testing.T) {
	for _, to := range [][]string{nil, {"relay-bot"}, {"bob", "änn", "relay-bot"}} {
		for _, old := range []bool{false, true} {
			s, post, _ := seated()
			user := &livekit.UserPacket{Payload: []byte("x"), Topic: proto.String("relay")}
			packet := &livekit.DataPacket{ParticipantIdentity: "ann", Value: &livekit.DataPacket_User{User: user}}
			if old {
				//lint:ignore SA1019 older clients send it
				user.DestinationIdentities = to
			} else {
				packet.DestinationIdentities = to
			}
			data, err := proto.Marshal(packet)
			if err != nil {
				t.Fatal(err)
			}
			s.packet(data, true)
			if text, got := frame(t, post); text != "x" || !slices.Equal(got, to) {
				t.Fatalf("sent to %v (older: %v), handed on %q to %v", to, old, text, got)
			}
		}
	}
}

func TestEncryptedPacketsAreCountedAndToldOnce(t *testing.T) {
	s, post, _ := seated()
	data, err := proto.Marshal(&livekit.DataPacket{
		ParticipantIdentity: "ann",
		Value: &livekit.DataPacket_EncryptedPacket{EncryptedPacket: &livekit.EncryptedPacket{
			EncryptionType: livekit.Encryption_GCM, EncryptedValue: []byte("secret"),
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		s.packet(data, true)
	}
	if found := tags(t, post); !slices.Equal(found, []int64{8}) || post.Counts().Encrypted != 3 {
		t.Fatalf("told %v, counted %+v", found, post.Counts())
	}
}

// frame takes the one frame out of the next message, with its addressees.
func frame(t *testing.T, post *mail.Post) (data string, to []string) {
	t.Helper()
	b, _ := post.Next(nil)
	r := pack.NewReader(b)
	r.Array()
	r.Array()
	if r.Array() != 1 || r.Array() != 2 || r.Int() != 1 || r.Array() != 1 {
		t.Fatal("not one arrival")
	}
	fields := r.Array()
	r.Int()
	data = string(r.Bytes())
	_, _, _, _, _ = r.String(), r.Float(), r.String(), r.String(), r.Bool()
	if fields > 7 {
		_ = r.String()
	}
	if fields > 8 {
		to = r.Strings()
	}
	if r.Err() != nil || r.Len() != 0 {
		t.Fatalf("malformed: %v, %d bytes left", r.Err(), r.Len())
	}
	return data, to
}

func TestAByteStreamIsCountedAndLeftAlone(t *testing.T) {
	s, post, _ := seated()
	s.streamHeader(&livekit.DataStream_Header{
		StreamId: "picture", Topic: "lk.chat",
		ContentHeader: &livekit.DataStream_Header_ByteHeader{ByteHeader: &livekit.DataStream_ByteHeader{Name: "a.png"}},
	}, "ann", nil)
	s.streamChunk(&livekit.DataStream_Chunk{StreamId: "picture", Content: make([]byte, 50)}, "ann")
	s.streamTrailer(&livekit.DataStream_Trailer{StreamId: "picture"}, "ann")
	if found := tags(t, post); len(found) != 0 || len(s.streams) != 0 {
		t.Fatalf("told %v, %d under way", found, len(s.streams))
	}
	if c := post.Counts(); c.Bytes != 1 || c.Texts != 0 {
		t.Fatalf("counted: %+v", c)
	}
}

func TestATextIsCutBetweenCharacters(t *testing.T) {
	text := strings.Repeat("aé€😀", 10)
	for limit := 4; limit < len(text)+2; limit++ {
		parts := split(text, limit)
		if strings.Join(parts, "") != text {
			t.Fatalf("limit %d: cut to %q", limit, parts)
		}
		for _, part := range parts {
			if len(part) > limit || part == "" || !utf8.ValidString(part) {
				t.Fatalf("limit %d: a part is %q", limit, part)
			}
		}
	}
}

func TestATextIsSentWholeOrNotAtAll(t *testing.T) {
	s, _, answers := seated()
	many := make([]string, 4000)
	for n := range many {
		many[n] = "a-participant-with-a-name"
	}
	s.SendText(Text{ID: 1, Text: "hello", To: many, Limit: time.Second})
	s.SendText(Text{ID: 2, Text: "hello", Limit: 50 * time.Millisecond}) // the channels are not open: it waits
	for end := time.Now().Add(10 * time.Second); time.Now().Before(end); time.Sleep(pollEvery) {
		answers.mu.Lock()
		_, answered := answers.published[2]
		answers.mu.Unlock()
		if answered {
			break
		}
	}
	answers.mu.Lock()
	if !errors.Is(answers.published[1], errLarge) || !errors.Is(answers.published[2], errLate) {
		t.Fatalf("answered %v and %v", answers.published[1], answers.published[2])
	}
	answers.mu.Unlock()
	for n := range int64(maxOutgoing/3 + 2) { // one packet of them may be with the channel already
		s.SendText(Text{ID: 10 + n, Text: "hello", Limit: time.Minute})
	}
	s.mu.Lock()
	waiting := len(s.outgoing)
	s.ended = true
	s.mu.Unlock()
	answers.mu.Lock()
	defer answers.mu.Unlock()
	if last := answers.published[10+maxOutgoing/3+1]; !errors.Is(last, errBusy) || waiting > maxOutgoing {
		t.Fatalf("%d wait, the last was answered %v", waiting, last)
	}
}

func TestPublishingHasBounds(t *testing.T) {
	s, _, answers := seated()
	s.Publish(Publish{ID: 1, Data: make([]byte, maxPacket+1), Limit: time.Second})
	for n := range int64(maxOutgoing + 10) { // the channels are not open: they wait
		s.Publish(Publish{ID: 10 + n, Limit: 50 * time.Millisecond})
	}
	answers.mu.Lock()
	defer answers.mu.Unlock()
	if !errors.Is(answers.published[1], errLarge) || !errors.Is(answers.published[10+maxOutgoing+9], errBusy) {
		t.Fatalf("answered %v and %v", answers.published[1], answers.published[10+maxOutgoing+9])
	}
}

func TestJoiningWhereNobodyAnswersEndsInTime(t *testing.T) {
	post, answers := mail.NewPost(1), newTold()
	s := New(Options{Seat: 1, URL: "ws://127.0.0.1:1", Token: "token", Limit: 2 * time.Second}, post, answers)
	go s.Join()
	select {
	case err := <-answers.joined:
		if err == nil {
			t.Fatal("joined nothing")
		}
	case <-time.After(10 * time.Second):
		t.Fatal("no answer")
	}
	s.Publish(Publish{ID: 1})
	if !errors.Is(answers.published[1], errGone) {
		t.Fatal("a seat that is gone takes packets")
	}
}

func TestLosingIsToldOnceAndLast(t *testing.T) {
	s, post, _ := seated()
	tap{s}.Infow(leaveMessage, "reason", livekit.DisconnectReason_ROOM_DELETED)
	events{s}.OnDisconnected("other reasons")
	events{s}.OnDisconnected("other reasons")
	s.participant(person("PA_1", 1, livekit.ParticipantInfo_ACTIVE))
	b, _ := post.Next(nil)
	r := pack.NewReader(b)
	if r.Array() != 2 || r.Array() != 0 || r.Array() != 1 || r.Array() != 2 || r.Int() != 1 || r.Array() != 1 {
		t.Fatal("not one arrival")
	}
	if r.Array() != 3 || r.Int() != 7 || r.String() != "room_ended" || r.String() != "ROOM_DELETED" || r.Len() != 0 {
		t.Fatal("not told why")
	}
}
