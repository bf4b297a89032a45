// Package note writes what is worth knowing to standard error, a JSON object a line, for the bot's own log.
// Names, identities, tokens and message texts are never in it.
package note

import (
	"encoding/json"
	"io"
	"os"
	"sync"
	"time"
)

const perSecond = 50 // further lines are counted and left out

var (
	mu      sync.Mutex
	out     io.Writer = os.Stderr
	second  int64
	lines   int
	skipped int
)

type line struct {
	Level   string `json:"level"`
	Event   string `json:"event"`
	Seat    int64  `json:"seat,omitempty"`
	Error   string `json:"error,omitempty"`
	Skipped int    `json:"skipped,omitempty"`
}

// Warn notes something that is not as it should be. The seat may be 0, the error nil.
func Warn(event string, seat int64, err error) { write("warning", event, seat, err) }

// Error notes a failure.
func Error(event string, seat int64, err error) { write("error", event, seat, err) }

func write(level, event string, seat int64, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	mu.Lock()
	defer mu.Unlock()
	now := time.Now().Unix()
	if now != second {
		second, lines = now, 0
	}
	if lines++; lines > perSecond {
		skipped++
		return
	}
	encoded, _ := json.Marshal(line{level, event, seat, limited(text), skipped}) // plain fields can't fail
	skipped = 0
	_, _ = out.Write(append(encoded, '\n')) // nobody is left to be told
}

func limited(text string) string { return text[:min(len(text), 500)] }
