// Command relay-link joins LiveKit rooms for relay-bot and speaks with it over one socket. It knows nothing of
// polls, chat or halls: it carries packets, requests, streams and the rooms' news both ways.
//
// The bot starts it. It ends when the bot hangs up, or dies.
package main

import (
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
	"github.com/livekit/protocol/logger"
	lksdk "github.com/livekit/server-sdk-go/v2"
	"go.uber.org/zap"

	"relay-bot/native/relay-link/internal/bridge"
	"relay-bot/native/relay-link/internal/hall"
	"relay-bot/native/relay-link/internal/mail"
	"relay-bot/native/relay-link/internal/note"
)

const version = "0.1.0"

var (
	fd      = flag.Int("fd", -1, "the inherited socket that the bot is on")
	parent  = flag.Int("parent", 0, "the bot's process id")
	tell    = flag.Bool("version", false, "print the version and the hash of the sources")
	present = true // the parent, when it was tied to
)

func init() {
	flag.Parse()
	if *parent != 0 {
		present = tieToParent(*parent)
	}
}

func main() {
	if err := run(); err != nil {
		note.Error("the link ended", 0, err)
		os.Exit(1)
	}
}

func run() error {
	source, err := sourceHash()
	if err != nil {
		return err
	}
	if *tell {
		_, err := fmt.Printf("relay-link %s protocol %d source %s\n", version, bridge.Protocol, source)
		return err
	}
	if *fd < 0 || *parent == 0 {
		return fmt.Errorf("relay-link is started by relay-bot, with -fd and -parent")
	}
	if !present {
		return nil
	}
	// A terminal's or a service manager's signal reaches us, too, but when to end is for the bot to say: it has
	// things left to tell the rooms.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	quieten()
	file := os.NewFile(uintptr(*fd), "bot")
	conn, err := net.FileConn(file)
	if err != nil {
		return fmt.Errorf("descriptor %d: %w", *fd, err)
	}
	_ = file.Close() // conn has its own
	newSeat := func(options hall.Options, post *mail.Post, told hall.Told) bridge.Seat {
		return hall.New(options, post, told)
	}
	return bridge.New(conn, bridge.Identity{Version: version, Source: source}, newSeat).Run()
}

// quieten keeps the SDK from writing logs of its own (it would format a line for each packet, to drop it
// then), and from waiting without a limit.
func quieten() {
	silent := zap.NewNop()
	config := &logger.Config{Level: "error"}
	if quiet, err := logger.FromZapLogger(silent, config); err == nil {
		lksdk.SetLogger(quiet)
	}
	websocket.DefaultDialer.HandshakeTimeout = 10 * time.Second
	http.DefaultClient.Timeout = 10 * time.Second
}
