package main

import (
	"errors"
	"testing"

	lksdk "github.com/livekit/server-sdk-go/v2"
)

// listener stands for a room: it keeps what it is given to send, or refuses it.
type listener struct {
	refusal error
	said    []string
}

func (l *listener) PublishDataPacket(packet lksdk.DataPacket, _ ...lksdk.DataPublishOption) error {
	l.said = append(l.said, string(packet.ToProto().GetUser().GetPayload()))
	return l.refusal
}

func TestAPacketGoesBackAsItCame(t *testing.T) {
	echo, room := &bot{}, &listener{}
	echo.answer([]byte(`{"type":"poll_response"}`), "ann", room)
	if len(room.said) != 1 || room.said[0] != `{"type":"poll_response"}` {
		t.Fatalf("said %q", room.said)
	}
	if echo.received.Load() != 1 || echo.answered.Load() != 1 || echo.failed.Load() != 0 {
		t.Fatal("not counted as received and answered")
	}
}

func TestWhatHasNoSenderIsNotAnswered(t *testing.T) {
	echo, room := &bot{}, &listener{}
	echo.answer([]byte("{}"), "", room)
	if len(room.said) != 0 || echo.nameless.Load() != 1 || echo.received.Load() != 0 {
		t.Fatalf("said %q", room.said)
	}
}

func TestAnAnswerThatIsNotSentIsCountedAsSuch(t *testing.T) {
	echo := &bot{}
	echo.answer([]byte("{}"), "ann", &listener{refusal: errors.New("no")})
	if echo.failed.Load() != 1 || echo.answered.Load() != 0 {
		t.Fatal("counted as answered")
	}
}
