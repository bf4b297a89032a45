package lines

import (
	"errors"
	"strings"
	"testing"
)

type command struct {
	Cmd string `json:"cmd"`
}

func obey(c command) (any, error) {
	if c.Cmd != "greet" {
		return nil, errors.New("no command is named " + c.Cmd)
	}
	return map[string]string{"event": "greet"}, nil
}

func TestEachCommandHasItsAnswerInOrder(t *testing.T) {
	var out strings.Builder
	if err := Serve(strings.NewReader("{\"cmd\":\"greet\"}\n{\"cmd\":\"dance\"}\n{\"cmd\":\"greet\"}\n"), &out, obey); err != nil {
		t.Fatal(err)
	}
	expected := `{"event":"greet"}` + "\n" +
		`{"error":"no command is named dance","event":"failed"}` + "\n" +
		`{"event":"greet"}` + "\n"
	if out.String() != expected {
		t.Fatalf("answered %q", out.String())
	}
}

func TestWhatIsNoCommandEndsIt(t *testing.T) {
	var out strings.Builder
	if err := Serve(strings.NewReader("greet\n{\"cmd\":\"greet\"}\n"), &out, obey); err == nil || out.Len() > 0 {
		t.Fatalf("answered %q, error %v", out.String(), err)
	}
}
