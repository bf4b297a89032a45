package main

import (
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// insistence is how one participant votes who must be counted: a vote that goes out twice with the same id, then,
// once it is answered, another vote with another id; each is sent again until it is answered.
type insistence struct {
	Identity string      `json:"identity"`
	Votes    []*insisted `json:"votes"`
	Results  []results   `json:"results"` // all poll_results that came meanwhile, in the order of their coming
}

// insisted is one of its votes.
type insisted struct {
	ID      string   `json:"id"`
	Option  int      `json:"option"`
	Sent    int      `json:"sent"`
	Answers []string `json:"answers"` // each one that came: "" for an ack, else the error's code
}

// results is one poll_results as it came.
type results struct {
	AtMS   float64 `json:"at_ms"` // since the command began
	PollID string  `json:"poll_id"`
	Seq    int     `json:"seq"`
	Voters int     `json:"voters"`
}

// recorder notes what a participant hears while they insist.
type recorder struct {
	mu      sync.Mutex
	started time.Time
	heard   insistence
	changed chan struct{} // holds a token when an answer came
}

// listener is a participant's recorder while there is one; it is read for each packet, so it costs no lock.
type listener = atomic.Pointer[recorder]

// insist lets every participant of a hall begin to vote within cmd.SpreadMS, and waits for all answers.
func (a *audience) insist(cmd command) (any, error) {
	people, err := a.in(cmd.Halls)
	if err != nil {
		return nil, err
	}
	if cmd.Options < 2 || cmd.ResendMS <= 0 {
		return nil, fmt.Errorf("insisting takes 2 options and a time after which to send again")
	}
	started := time.Now()
	until := started.Add(cmd.timeout())
	spread := time.Duration(cmd.SpreadMS) * time.Millisecond
	heard := make([]insistence, len(people))
	var group sync.WaitGroup
	for index, person := range people {
		notes := &recorder{started: started, changed: make(chan struct{}, 1)}
		notes.heard.Identity = person.identity
		person.listener.Store(notes)
		group.Add(1)
		go func() {
			defer group.Done()
			time.Sleep(spread * time.Duration(index) / time.Duration(len(people)))
			for n, copies := range []int{2, 1} {
				person.insistOn(cmd, notes, (index+n)%cmd.Options, copies, until)
			}
		}()
	}
	group.Wait()
	for index, person := range people {
		notes := person.listener.Swap(nil)
		notes.mu.Lock() // a packet may be in the middle of being heard
		heard[index] = notes.heard
		notes.mu.Unlock()
	}
	return map[string]any{"event": "insist", "duration_ms": ms(time.Since(started)), "people": heard}, nil
}

// insistOn sends one vote in so many copies, and again until there is an answer other than "busy".
func (p *participant) insistOn(cmd command, notes *recorder, option, copies int, until time.Time) {
	vote := &insisted{ID: uuid.NewString(), Option: option, Answers: []string{}}
	notes.mu.Lock()
	notes.heard.Votes = append(notes.heard.Votes, vote)
	notes.mu.Unlock()
	data, err := voteEnvelope(p.identity, vote.ID, cmd.PollID, option)
	if err != nil {
		return // strings and numbers always encode
	}
	again := time.NewTicker(time.Duration(cmd.ResendMS) * time.Millisecond)
	defer again.Stop()
	for !notes.answered(vote) && time.Now().Before(until) {
		for range copies {
			vote.Sent++
			_ = p.send(cmd.To, data) // one that fails is one that was lost: it is sent again
		}
		copies = 1
		for waiting := true; waiting && !notes.answered(vote); {
			select {
			case <-notes.changed:
			case <-again.C:
				waiting = false
			}
		}
	}
}

// answered tells whether a vote has its answer; "busy" is none, it asks to be sent again.
func (r *recorder) answered(vote *insisted) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, code := range vote.Answers {
		if code != "busy" {
			return true
		}
	}
	return false
}

// hear notes a packet that came.
func (r *recorder) hear(packet []byte, now time.Time) {
	var message struct {
		Type    string `json:"type"`
		Payload struct {
			PollID string `json:"poll_id"`
			Seq    int    `json:"seq"`
			Voters int    `json:"total_voters"`
		} `json:"payload"`
	}
	if json.Unmarshal(packet, &message) != nil {
		return
	}
	ids, code, _ := answers(packet)
	r.mu.Lock()
	defer r.mu.Unlock()
	if message.Type == "poll_results" {
		said := message.Payload
		r.heard.Results = append(r.heard.Results, results{ms(now.Sub(r.started)), said.PollID, said.Seq, said.Voters})
	}
	for _, vote := range r.heard.Votes {
		for _, id := range ids {
			if id == vote.ID {
				vote.Answers = append(vote.Answers, code)
			}
		}
	}
	select {
	case r.changed <- struct{}{}:
	default:
	}
}
