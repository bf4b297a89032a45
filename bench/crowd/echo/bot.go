package main

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/livekit/protocol/auth"
	"github.com/livekit/protocol/livekit"
	lksdk "github.com/livekit/server-sdk-go/v2"
)

// bot is one bare bot, in as many rooms as it was told to join.
type bot struct {
	identity         string
	url, key, secret string
	rooms            []*lksdk.Room

	received, nameless, answered, failed atomic.Int64
}

// join joins halls one after the other.
func (b *bot) join(halls []string) error {
	for _, hall := range halls {
		token, err := b.token(hall)
		if err != nil {
			return err
		}
		var room *lksdk.Room
		callbacks := lksdk.NewRoomCallback()
		callbacks.OnDataPacket = func(packet lksdk.DataPacket, from lksdk.DataReceiveParams) {
			if data, ok := packet.(*lksdk.UserDataPacket); ok {
				b.answer(data.Payload, from.SenderIdentity, room.LocalParticipant)
			}
		}
		room = lksdk.NewRoom(callbacks)
		if err := room.JoinWithToken(b.url, token, lksdk.WithAutoSubscribe(false)); err != nil {
			return fmt.Errorf("into %s: %w", hall, err)
		}
		b.rooms = append(b.rooms, room)
	}
	return nil
}

// token has relay-bot's own grants: hidden, an agent, data only.
func (b *bot) token(hall string) (string, error) {
	grant := &auth.VideoGrant{RoomJoin: true, Room: hall, Hidden: true, Agent: true}
	grant.SetCanPublish(false)
	grant.SetCanSubscribe(false)
	grant.SetCanPublishData(true)
	return auth.NewAccessToken(b.key, b.secret).
		SetVideoGrant(grant).
		SetIdentity(b.identity).
		SetKind(livekit.ParticipantInfo_AGENT).
		SetValidFor(time.Hour).
		ToJWT()
}

// sender is what an answer needs of a room.
type sender interface {
	PublishDataPacket(packet lksdk.DataPacket, options ...lksdk.DataPublishOption) error
}

// answer sends a packet back to whom it came from.
func (b *bot) answer(data []byte, identity string, room sender) {
	if identity == "" {
		b.nameless.Add(1)
		return
	}
	b.received.Add(1)
	err := room.PublishDataPacket(lksdk.UserData(data),
		lksdk.WithDataPublishReliable(true), lksdk.WithDataPublishDestination([]string{identity}))
	if err != nil {
		b.failed.Add(1)
		return
	}
	b.answered.Add(1)
}

func (b *bot) leave() {
	for _, room := range b.rooms {
		room.Disconnect()
	}
}
