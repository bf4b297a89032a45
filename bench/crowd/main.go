// Command crowd is a light audience of real LiveKit participants for the bench.
//
// It takes one JSON command a line on stdin and prints one JSON answer a line on stdout, in order.
// A crowd of Python SDK clients would cost more than the bot it is to load (about 1 ms of CPU for each
// packet sent); LiveKit's Go SDK sends a packet for a fortieth of that, so the bot is what is measured.
//
// Commands:
//
//	{"cmd":"join","url","key","secret","halls":[…],"participants":n,"prefix","attributes":{…}}
//	{"cmd":"burst","halls":[…]?,"votes":n,"poll_id","options":n,"with_id":bool,"to","spread_ms","resend_ms","timeout_ms"}
//	{"cmd":"pingpong","halls":[hall]?,"votes":n,"poll_id","options":n,"to","resend_ms","timeout_ms"}
//	{"cmd":"insist","halls":[hall],"poll_id","options":n,"to","spread_ms","resend_ms","timeout_ms"}
//	{"cmd":"leave","halls":[…]?}
//
// An answer is {"event":<the command's name>,…} or {"event":"failed","error":…}. Everything is bounded, in
// count and in time, and the program ends by itself when its stdin closes: no audience outlives its bench.
package main

import (
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/go-logr/logr"
	"github.com/livekit/protocol/logger"
	lksdk "github.com/livekit/server-sdk-go/v2"

	"relay-bot/bench/crowd/internal/lines"
)

const (
	maxParticipants = 2_000
	maxVotes        = 500_000
	maxOptions      = 100
	maxWait         = 5 * time.Minute
)

// command is the union of all commands' fields; each command reads its own.
type command struct {
	Cmd          string            `json:"cmd"`
	URL          string            `json:"url"`
	Key          string            `json:"key"`
	Secret       string            `json:"secret"`
	Halls        []string          `json:"halls"`
	Participants int               `json:"participants"`
	Prefix       string            `json:"prefix"`
	Attributes   map[string]string `json:"attributes"`
	Votes        int               `json:"votes"`
	PollID       string            `json:"poll_id"`
	Options      int               `json:"options"`
	WithID       bool              `json:"with_id"`
	To           string            `json:"to"`
	SpreadMS     int               `json:"spread_ms"`
	ResendMS     int               `json:"resend_ms"`
	TimeoutMS    int               `json:"timeout_ms"`
}

func (c command) timeout() time.Duration {
	wait := time.Duration(c.TimeoutMS) * time.Millisecond
	if wait <= 0 || wait > maxWait {
		return maxWait
	}
	return wait
}

func main() {
	lifetime := flag.Duration("lifetime", 20*time.Minute, "end after this time, whatever happens")
	flag.Parse()
	time.AfterFunc(*lifetime, func() {
		fmt.Fprintln(os.Stderr, "crowd: its lifetime is over")
		os.Exit(3)
	})
	// The SDK logs every join to stderr; what goes wrong is in the answers.
	lksdk.SetLogger(logger.LogRLogger(logr.Discard()))
	crowd := newAudience()
	err := lines.Serve(os.Stdin, os.Stdout, crowd.do)
	crowd.leave(nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, "crowd:", err)
		os.Exit(1)
	}
}
