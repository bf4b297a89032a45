package main

import (
	"encoding/json"
	"sync"
	"time"

	"github.com/google/uuid"
)

// envelope is WIRE.md's, as far as a voter fills it in.
type envelope struct {
	RelayVersion string `json:"relay_version"`
	ID           string `json:"id,omitempty"`
	Type         string `json:"type"`
	SenderID     string `json:"sender_id"`
	Timestamp    string `json:"timestamp"`
	Payload      ballot `json:"payload"`
}

type ballot struct {
	PollID string `json:"poll_id"`
	Option int    `json:"option"`
}

// vote is the participant's next vote: another choice than the last one, so that each vote changes the tally.
func (p *participant) vote(pollID string, options int, withID bool) (id string, data []byte, err error) {
	if withID {
		id = uuid.NewString()
	}
	data, err = voteEnvelope(p.identity, id, pollID, p.voted%max(options, 1))
	p.voted++
	return id, data, err
}

func voteEnvelope(identity, id, pollID string, option int) ([]byte, error) {
	return json.Marshal(envelope{
		RelayVersion: "1",
		ID:           id,
		Type:         "poll_response",
		SenderID:     identity,
		Timestamp:    time.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
		Payload:      ballot{PollID: pollID, Option: option},
	})
}

// heard is what a participant reads of a packet that comes in.
type heard struct {
	Type    string `json:"type"`
	ID      string `json:"id"`
	Payload struct {
		IDs          []string `json:"ids"`
		ID           string   `json:"id"`
		Code         string   `json:"code"`
		RetryAfterMS int      `json:"retry_after_ms"`
	} `json:"payload"`
}

// answers tells which votes a packet answers, and with which error code ("" = taken).
// relay-bot's ack may carry many participants' ids; the bare echo bot sends the vote itself back.
func answers(packet []byte) (ids []string, code string, retry time.Duration) {
	var kind struct {
		Type string `json:"type"`
	}
	if json.Unmarshal(packet, &kind) != nil {
		return nil, "", 0
	}
	switch kind.Type {
	case "ack", "error", "poll_response":
	default: // poll, poll_results, hall_state …: not ours to read
		return nil, "", 0
	}
	var message heard
	if json.Unmarshal(packet, &message) != nil {
		return nil, "", 0
	}
	switch message.Type {
	case "ack":
		return message.Payload.IDs, "", 0
	case "error":
		return []string{message.Payload.ID}, message.Payload.Code,
			time.Duration(message.Payload.RetryAfterMS) * time.Millisecond
	default:
		return []string{message.ID}, "", 0
	}
}

// outstanding is a vote that waits for its answer.
type outstanding struct {
	data   []byte
	first  time.Time // when it was sent for the first time: latency counts from here
	resend time.Time // when to send it again, or zero
}

// pending holds one participant's unanswered votes and the answers that came.
type pending struct {
	mu        sync.Mutex
	waiting   map[string]*outstanding
	latencies []time.Duration
	refused   map[string]int
	changed   chan struct{} // holds a token when an answer came
}

func newPending() *pending {
	return &pending{refused: map[string]int{}, changed: make(chan struct{}, 1)}
}

// reset forgets everything of the burst before.
func (p *pending) reset(size int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.waiting = make(map[string]*outstanding, size)
	p.latencies = make([]time.Duration, 0, size)
	p.refused = map[string]int{}
	select {
	case <-p.changed:
	default:
	}
}

func (p *pending) expect(id string, vote *outstanding) {
	p.mu.Lock()
	p.waiting[id] = vote
	p.mu.Unlock()
}

func (p *pending) answer(packet []byte, now time.Time) {
	ids, code, retry := answers(packet)
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		vote := p.waiting[id]
		switch {
		case vote == nil && code == "": // another participant's, or answered before
			continue
		case code == "busy" && vote != nil: // "not taken, send again"
			vote.resend = now.Add(max(retry, 100*time.Millisecond))
			p.refused[code]++
			continue
		case code != "":
			p.refused[code]++
		default:
			p.latencies = append(p.latencies, now.Sub(vote.first))
		}
		delete(p.waiting, id)
	}
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// due takes the votes whose time to be sent again has come.
func (p *pending) due(now time.Time, again time.Duration) [][]byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	var votes [][]byte
	for _, vote := range p.waiting {
		if vote.resend.IsZero() || now.Before(vote.resend) {
			continue
		}
		vote.resend = time.Time{}
		if again > 0 {
			vote.resend = now.Add(again)
		}
		votes = append(votes, vote.data)
	}
	return votes
}

func (p *pending) unanswered() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.waiting)
}
