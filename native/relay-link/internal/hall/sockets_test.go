//go:build unix

package hall

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

func receiveBufferOf(t *testing.T, conn *net.UDPConn) (size int) {
	t.Helper()
	raw, err := conn.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) {
			size, err = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF)
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return size
}

func TestSocketsAreWidened(t *testing.T) {
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	before := receiveBufferOf(t, conn)
	widenSockets()
	if after := receiveBufferOf(t, conn); after <= before {
		t.Fatalf("%d bytes before, %d after", before, after)
	}
}
