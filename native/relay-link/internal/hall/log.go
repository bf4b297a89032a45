package hall

import (
	"github.com/livekit/protocol/livekit"
	"github.com/livekit/protocol/logger"
	"github.com/livekit/protocol/logger/zaputil"

	"relay-bot/native/relay-link/internal/note"
)

// tap is the logger of one seat's engine. It hands on what went wrong without the values beside it, which name
// people, and it takes one value from them: the reason in the server's leave request, which the SDK tells in
// no other way (to its callbacks a deleted room looks like a server that shuts down).
type tap struct{ seat *Seat }

const leaveMessage = "server initiated leave"

func (t tap) Debugw(string, ...any) {}

func (t tap) Infow(message string, values ...any) {
	if message != leaveMessage {
		return
	}
	for i := 0; i+1 < len(values); i += 2 {
		if reason, ok := values[i+1].(livekit.DisconnectReason); ok {
			t.seat.reason.Store(int32(reason))
		}
	}
}

func (t tap) Warnw(message string, err error, _ ...any) {
	if !t.seat.isEnded() { // what goes wrong in letting go of a room is of no interest
		note.Warn(message, t.seat.options.Seat, err)
	}
}

// Errorw notes a warning: the SDK calls every attempt to mend a connection an error. What it comes to is told.
func (t tap) Errorw(message string, err error, _ ...any) { t.Warnw(message, err) }

func (t tap) WithValues(...any) logger.Logger { return t }
func (t tap) WithUnlikelyValues(values ...any) logger.UnlikelyLogger {
	return logger.NewUnlikelyLogger(t, values...)
}
func (t tap) WithName(string) logger.Logger      { return t }
func (t tap) WithComponent(string) logger.Logger { return t }
func (t tap) WithCallDepth(int) logger.Logger    { return t }
func (t tap) WithItemSampler() logger.Logger     { return t }
func (t tap) WithoutSampler() logger.Logger      { return t }
func (t tap) WithDeferredValues() (logger.Logger, logger.DeferredFieldResolver) {
	return t, zaputil.NoOpDeferrer{}
}
