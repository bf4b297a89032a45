package main

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// result is what a burst or a ping-pong came to. Latencies go from the first sending to the answer.
type result struct {
	Event      string         `json:"event"`
	Sent       int            `json:"sent"`
	Acked      int            `json:"acked"`
	Unacked    int            `json:"unacked"`
	Resent     int            `json:"resent"`
	Refused    map[string]int `json:"refused"` // by code of the bot's error
	SendErrors int            `json:"send_errors"`
	SendMS     float64        `json:"send_ms"`     // until all were handed to the SDK
	DurationMS float64        `json:"duration_ms"` // until the last answer
	Latency    latency        `json:"latency_ms"`
	Samples    []float64      `json:"samples_ms"` // a ping-pong's latencies, one by one
	Choices    []int          `json:"choices"`    // how many participants chose each option last
}

type latency struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// burst lets every participant of the halls vote cmd.Votes times within cmd.SpreadMS, and waits for the answers.
func (a *audience) burst(cmd command) (any, error) {
	people, err := a.in(cmd.Halls)
	if err != nil {
		return nil, err
	}
	if total := cmd.Votes * len(people); cmd.Votes <= 0 || total > maxVotes {
		return nil, fmt.Errorf("%d votes asked for: 1 to %d can be sent", total, maxVotes)
	}
	started := time.Now()
	outcome := result{Event: "burst", Refused: map[string]int{}, Samples: []float64{}}
	var (
		group  sync.WaitGroup
		errors = make([]int, len(people))
	)
	spread := time.Duration(cmd.SpreadMS) * time.Millisecond
	for index, person := range people {
		person.pending.reset(cmd.Votes)
		group.Add(1)
		go func() {
			defer group.Done()
			// Each starts a little later than the one before: a crowd, not a column.
			start := started.Add(spread / time.Duration(cmd.Votes) * time.Duration(index) / time.Duration(len(people)))
			errors[index] = person.sendVotes(cmd, start, spread/time.Duration(cmd.Votes))
		}()
	}
	group.Wait()
	outcome.SendMS = ms(time.Since(started))
	if cmd.WithID {
		outcome.Resent = settle(people, cmd, started.Add(cmd.timeout()))
	}
	outcome.DurationMS = ms(time.Since(started))
	for _, count := range errors {
		outcome.SendErrors += count
	}
	outcome.Sent = cmd.Votes*len(people) - outcome.SendErrors
	outcome.collect(people)
	outcome.Choices = choices(people, cmd.Options)
	return outcome, nil
}

// sendVotes sends a participant's votes, one each step from start on, and counts those the SDK refused.
func (p *participant) sendVotes(cmd command, start time.Time, step time.Duration) (refused int) {
	for n := range cmd.Votes {
		if wait := time.Until(start.Add(step * time.Duration(n))); wait > 0 {
			time.Sleep(wait)
		}
		if p.sendVote(cmd) != nil {
			refused++
		}
	}
	return refused
}

func (p *participant) sendVote(cmd command) error {
	id, data, err := p.vote(cmd.PollID, cmd.Options, cmd.WithID)
	if err != nil {
		return err
	}
	if cmd.WithID {
		vote := &outstanding{data: data, first: time.Now()}
		if cmd.ResendMS > 0 {
			vote.resend = vote.first.Add(time.Duration(cmd.ResendMS) * time.Millisecond)
		}
		p.pending.expect(id, vote)
	}
	return p.send(cmd.To, data)
}

// settle waits for all answers, sending again what asks for it, and counts what was sent again.
func settle(people []*participant, cmd command, until time.Time) (resent int) {
	for time.Now().Before(until) {
		waiting := 0
		for _, person := range people {
			for _, vote := range person.pending.due(time.Now(), time.Duration(cmd.ResendMS)*time.Millisecond) {
				if time.Now().After(until) { // sending may block
					return resent
				}
				resent++
				_ = person.send(cmd.To, vote) // a failed one stays unanswered, and is counted as such
			}
			waiting += person.pending.unanswered()
		}
		if waiting == 0 {
			return resent
		}
		time.Sleep(5 * time.Millisecond)
	}
	return resent
}

// pingpong lets one participant vote cmd.Votes times, each vote after the answer to the one before.
func (a *audience) pingpong(cmd command) (any, error) {
	people, err := a.in(cmd.Halls)
	if err != nil {
		return nil, err
	}
	if cmd.Votes <= 0 || cmd.Votes > maxVotes {
		return nil, fmt.Errorf("%d votes asked for: 1 to %d can be sent", cmd.Votes, maxVotes)
	}
	cmd.WithID = true
	person := people[0]
	person.pending.reset(cmd.Votes)
	started := time.Now()
	until := started.Add(cmd.timeout())
	outcome := result{Event: "pingpong", Refused: map[string]int{}, Samples: []float64{}}
	for outcome.Sent < cmd.Votes && time.Now().Before(until) {
		if err := person.sendVote(cmd); err != nil {
			outcome.SendErrors++
			continue
		}
		outcome.Sent++
		outcome.Resent += person.await(cmd, until)
	}
	outcome.DurationMS = ms(time.Since(started))
	outcome.SendMS = outcome.DurationMS
	outcome.collect(people[:1])
	for _, latency := range person.pending.latencies {
		outcome.Samples = append(outcome.Samples, ms(latency))
	}
	outcome.Choices = choices(people, cmd.Options)
	return outcome, nil
}

// await blocks until nothing is unanswered; it wakes on the answer itself, as a round trip asks for.
func (p *participant) await(cmd command, until time.Time) (resent int) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for p.pending.unanswered() > 0 && time.Now().Before(until) {
		select {
		case <-p.pending.changed:
		case <-tick.C:
			for _, vote := range p.pending.due(time.Now(), time.Duration(cmd.ResendMS)*time.Millisecond) {
				resent++
				_ = p.send(cmd.To, vote)
			}
		}
	}
	return resent
}

// choices counts the participants by what they voted for last.
func choices(people []*participant, options int) []int {
	counts := make([]int, max(options, 1))
	for _, person := range people {
		if person.voted > 0 {
			counts[(person.voted-1)%len(counts)]++
		}
	}
	return counts
}

// collect sums up what the participants heard.
func (r *result) collect(people []*participant) {
	var all []time.Duration
	for _, person := range people {
		person.pending.mu.Lock()
		all = append(all, person.pending.latencies...)
		r.Unacked += len(person.pending.waiting)
		for code, count := range person.pending.refused {
			r.Refused[code] += count
		}
		person.pending.mu.Unlock()
	}
	r.Acked = len(all)
	if len(all) == 0 {
		return
	}
	slices.Sort(all)
	r.Latency = latency{P50: ms(quantile(all, 0.50)), P99: ms(quantile(all, 0.99)), Max: ms(all[len(all)-1])}
}

// quantile is the nearest rank of sorted values.
func quantile(sorted []time.Duration, q float64) time.Duration {
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}

func ms(d time.Duration) float64 {
	return float64(d.Microseconds()) / 1000
}
