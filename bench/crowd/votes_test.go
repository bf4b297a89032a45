package main

import (
	"slices"
	"testing"
	"time"
)

func TestAnswersReadsAcksErrorsAndEchoes(t *testing.T) {
	for name, c := range map[string]struct {
		packet string
		ids    []string
		code   string
	}{
		"a group's ack":     {`{"type":"ack","payload":{"ids":["a","b"]}}`, []string{"a", "b"}, ""},
		"an error":          {`{"type":"error","payload":{"id":"a","code":"busy"}}`, []string{"a"}, "busy"},
		"an echo":           {`{"type":"poll_response","id":"a","payload":{"poll_id":"p","option":1}}`, []string{"a"}, ""},
		"not an answer":     {`{"type":"poll_results","payload":{"counts":[1]}}`, nil, ""},
		"ids of a stranger": {`{"type":"poll","payload":{"ids":[1,2]}}`, nil, ""},
		"not JSON":          {`{`, nil, ""},
	} {
		ids, code, _ := answers([]byte(c.packet))
		if !slices.Equal(ids, c.ids) || code != c.code {
			t.Errorf("%s: got %v %q, expected %v %q", name, ids, code, c.ids, c.code)
		}
	}
}

func TestABusyVoteIsSentAgainAndAnsweredOnce(t *testing.T) {
	waiting := newPending()
	waiting.reset(1)
	now := time.Now()
	waiting.expect("a", &outstanding{data: []byte("vote"), first: now})
	if due := waiting.due(now.Add(time.Hour), 0); len(due) != 0 {
		t.Fatalf("sent again without a reason: %d", len(due))
	}
	waiting.answer([]byte(`{"type":"error","payload":{"id":"a","code":"busy","retry_after_ms":300}}`), now)
	if due := waiting.due(now.Add(200*time.Millisecond), 0); len(due) != 0 {
		t.Fatal("sent again too early")
	}
	if due := waiting.due(now.Add(300*time.Millisecond), 0); len(due) != 1 {
		t.Fatal("not sent again")
	}
	for range 2 { // the same answer twice counts once
		waiting.answer([]byte(`{"type":"ack","payload":{"ids":["x","a"]}}`), now.Add(time.Second))
	}
	if waiting.unanswered() != 0 || len(waiting.latencies) != 1 || waiting.latencies[0] != time.Second {
		t.Fatalf("%d unanswered, latencies %v", waiting.unanswered(), waiting.latencies)
	}
}
