// Package lines is how the bench speaks with its Go programs: one JSON command a line, one JSON answer a line.
package lines

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
)

const maxCommandBytes = 1 << 20

// Serve answers each command in turn until `in` ends. An error of `do` is an answer, too:
// {"event":"failed","error":…}. What is no command at all ends it.
func Serve[C any](in io.Reader, out io.Writer, do func(C) (any, error)) error {
	answers := json.NewEncoder(out)
	commands := bufio.NewScanner(in)
	commands.Buffer(make([]byte, 64*1024), maxCommandBytes)
	for commands.Scan() {
		var command C
		if err := json.Unmarshal(commands.Bytes(), &command); err != nil {
			return fmt.Errorf("a command that is not JSON: %w", err)
		}
		answer, err := do(command)
		if err != nil {
			answer = map[string]any{"event": "failed", "error": err.Error()}
		}
		if err := answers.Encode(answer); err != nil {
			return fmt.Errorf("nobody reads the answers: %w", err)
		}
	}
	return commands.Err()
}
