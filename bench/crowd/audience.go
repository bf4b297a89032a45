package main

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/livekit/protocol/auth"
	lksdk "github.com/livekit/server-sdk-go/v2"
)

// joinsAtOnce keeps a joining crowd from starving the server and the bots of the machine they share.
const joinsAtOnce = 8

// audience holds all participants, by hall, in the order in which they were asked for.
type audience struct {
	halls map[string][]*participant
}

func newAudience() *audience {
	return &audience{halls: map[string][]*participant{}}
}

// do runs one command; it is the only reader and writer of the audience, one command at a time.
func (a *audience) do(cmd command) (any, error) {
	if cmd.Options < 0 || cmd.Options > maxOptions {
		return nil, fmt.Errorf("%d options: a poll of ours has at most %d", cmd.Options, maxOptions)
	}
	switch cmd.Cmd {
	case "join":
		return a.join(cmd)
	case "burst":
		return a.burst(cmd)
	case "pingpong":
		return a.pingpong(cmd)
	case "insist":
		return a.insist(cmd)
	case "leave":
		return map[string]any{"event": "leave", "participants": a.leave(cmd.Halls)}, nil
	}
	return nil, fmt.Errorf("no command is named %q", cmd.Cmd)
}

// join brings cmd.Participants participants into each of cmd.Halls; all come in or the command fails.
func (a *audience) join(cmd command) (any, error) {
	wanted := cmd.Participants * len(cmd.Halls)
	if wanted <= 0 || wanted+a.size() > maxParticipants {
		return nil, fmt.Errorf("%d participants asked for: 1 to %d can join", wanted, maxParticipants-a.size())
	}
	started := time.Now()
	var (
		group  sync.WaitGroup
		slots  = make(chan struct{}, joinsAtOnce)
		failed = make(chan error, wanted)
	)
	for _, hall := range cmd.Halls {
		for n := range cmd.Participants {
			person := newParticipant(fmt.Sprintf("%s%s-%d", cmd.Prefix, hall, n))
			a.halls[hall] = append(a.halls[hall], person)
			group.Add(1)
			go func() {
				defer group.Done()
				slots <- struct{}{}
				defer func() { <-slots }()
				if err := person.connect(cmd, hall); err != nil {
					failed <- fmt.Errorf("%s into %s: %w", person.identity, hall, err)
				}
			}()
		}
	}
	group.Wait()
	close(failed)
	var problems []error
	for err := range failed {
		problems = append(problems, err)
	}
	if len(problems) > 0 {
		a.leave(cmd.Halls)
		return nil, errors.Join(problems[:min(3, len(problems))]...)
	}
	return map[string]any{"event": "join", "participants": wanted, "duration_ms": ms(time.Since(started))}, nil
}

// leave takes the given halls' participants home (all of them without halls) and tells how many they were.
func (a *audience) leave(halls []string) int {
	var group sync.WaitGroup
	left := 0
	for hall, people := range a.halls {
		if len(halls) > 0 && !slices.Contains(halls, hall) {
			continue
		}
		for _, person := range people {
			left++
			group.Add(1)
			go func() {
				defer group.Done()
				person.disconnect()
			}()
		}
		delete(a.halls, hall)
	}
	group.Wait()
	return left
}

func (a *audience) size() int {
	total := 0
	for _, people := range a.halls {
		total += len(people)
	}
	return total
}

// in gives the participants of the given halls (of all halls without any), in the order of joining.
func (a *audience) in(halls []string) ([]*participant, error) {
	if len(halls) == 0 {
		for hall := range a.halls {
			halls = append(halls, hall)
		}
		slices.Sort(halls)
	}
	var people []*participant
	for _, hall := range halls {
		if len(a.halls[hall]) == 0 {
			return nil, fmt.Errorf("nobody of ours is in %q", hall)
		}
		people = append(people, a.halls[hall]...)
	}
	if len(people) == 0 {
		return nil, errors.New("nobody has joined")
	}
	return people, nil
}

// participant is one real LiveKit participant and the votes it waits for.
type participant struct {
	identity string
	room     *lksdk.Room
	voted    int // goes on over bursts, so that no vote repeats the choice before it
	pending  *pending
	listener listener
}

func newParticipant(identity string) *participant {
	return &participant{identity: identity, pending: newPending()}
}

// connect joins with an audience member's grants: data and watching, no publishing of media.
func (p *participant) connect(cmd command, hall string) error {
	grant := &auth.VideoGrant{RoomJoin: true, Room: hall}
	grant.SetCanPublish(false)
	grant.SetCanSubscribe(true)
	grant.SetCanPublishData(true)
	token, err := auth.NewAccessToken(cmd.Key, cmd.Secret).
		SetVideoGrant(grant).
		SetIdentity(p.identity).
		SetAttributes(cmd.Attributes).
		SetValidFor(time.Hour).
		ToJWT()
	if err != nil {
		return err
	}
	callbacks := lksdk.NewRoomCallback()
	callbacks.OnDataPacket = func(packet lksdk.DataPacket, _ lksdk.DataReceiveParams) {
		if data, ok := packet.(*lksdk.UserDataPacket); ok {
			now := time.Now()
			p.pending.answer(data.Payload, now)
			if notes := p.listener.Load(); notes != nil {
				notes.hear(data.Payload, now)
			}
		}
	}
	p.room, err = lksdk.ConnectToRoomWithToken(cmd.URL, token, callbacks, lksdk.WithAutoSubscribe(false))
	if err != nil {
		return err
	}
	// The SDK makes the connection to send on with the first packet: so it is one that concerns nobody else.
	return p.send(p.identity, nil)
}

func (p *participant) disconnect() {
	if p.room != nil {
		p.room.Disconnect()
	}
}

// send sends an envelope reliably, to the bot alone.
func (p *participant) send(to string, envelope []byte) error {
	return p.room.LocalParticipant.PublishDataPacket(lksdk.UserData(envelope),
		lksdk.WithDataPublishReliable(true), lksdk.WithDataPublishDestination([]string{to}))
}
