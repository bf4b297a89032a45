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

func TestARecorderNotesEachAnswerToItsOwnVotesAndTheResults(t *testing.T) {
	notes := &recorder{started: time.Now(), changed: make(chan struct{}, 1)}
	vote := &insisted{ID: "mine"}
	notes.heard.Votes = append(notes.heard.Votes, vote)
	notes.hear([]byte(`{"type":"error","payload":{"id":"mine","code":"busy"}}`), time.Now())
	if notes.answered(vote) {
		t.Fatal("busy asks to send again: it is no answer")
	}
	notes.hear([]byte(`{"type":"ack","payload":{"ids":["other","mine"]}}`), time.Now())
	notes.hear([]byte(`{"type":"ack","payload":{"ids":["other"]}}`), time.Now())
	notes.hear([]byte(`{"type":"poll_results","payload":{"poll_id":"p","seq":7,"total_voters":3}}`), time.Now())
	if !notes.answered(vote) || !slices.Equal(vote.Answers, []string{"busy", ""}) {
		t.Fatalf("answers %q", vote.Answers)
	}
	if said := notes.heard.Results; len(said) != 1 || said[0].PollID != "p" || said[0].Seq != 7 || said[0].Voters != 3 {
		t.Fatalf("results %v", said)
	}
}
