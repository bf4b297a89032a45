// Command echo is the bare bot on LiveKit's Go SDK: it sends each packet back to its sender and keeps nothing.
//
//	echo IDENTITY
//
// It is what bench/bare's echo is on the Python SDK, with the same grants and the same commands, one JSON line
// each: {"cmd":"join","halls":[…]} and {"cmd":"count"}. It answers from the SDK's own callback: of the ways that
// the SDK leaves open, this one costs least. It ends when its stdin closes. URL and keys come from LIVEKIT_URL,
// LIVEKIT_API_KEY and LIVEKIT_API_SECRET.
package main

import (
	"fmt"
	"os"

	"github.com/livekit/protocol/logger"
	lksdk "github.com/livekit/server-sdk-go/v2"
	"go.uber.org/zap"

	"relay-bot/bench/crowd/internal/lines"
)

type command struct {
	Cmd   string   `json:"cmd"`
	Halls []string `json:"halls"`
}

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: echo IDENTITY")
		os.Exit(2)
	}
	quieten()
	echo := &bot{
		identity: os.Args[1],
		url:      os.Getenv("LIVEKIT_URL"),
		key:      os.Getenv("LIVEKIT_API_KEY"),
		secret:   os.Getenv("LIVEKIT_API_SECRET"),
	}
	defer echo.leave()
	if err := lines.Serve(os.Stdin, os.Stdout, echo.obey); err != nil {
		fmt.Fprintln(os.Stderr, "echo:", err)
	}
}

// quieten keeps the SDK from making a log line of each packet, which would cost about as much as the packet.
func quieten() {
	if silent, err := logger.FromZapLogger(zap.NewNop(), &logger.Config{Level: "error"}); err == nil {
		lksdk.SetLogger(silent)
	}
}

func (b *bot) obey(cmd command) (any, error) {
	switch cmd.Cmd {
	case "join":
		if err := b.join(cmd.Halls); err != nil {
			return nil, err
		}
		return map[string]any{"event": "join", "rooms": len(b.rooms)}, nil
	case "count":
		return map[string]any{
			"event":    "count",
			"received": b.received.Load(),
			"nameless": b.nameless.Load(),
			"answered": b.answered.Load(),
			"failed":   b.failed.Load(),
		}, nil
	}
	return nil, fmt.Errorf("no command is named %q", cmd.Cmd)
}
