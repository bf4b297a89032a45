//go:build unix

package hall

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// receiveBuffer holds what the SFU may have under way to a room at once (SCTP's window, 1 MiB), in packets of any size.
const receiveBuffer = 2 << 20

// widenSockets gives the UDP sockets of this process a larger receive buffer; the system may allow less. The usual
// one holds a tenth of a window: what comes in a burst while we aren't scheduled is lost, and sent again by the SFU
// only seconds later. The SDK makes the sockets and doesn't show them, so they are found among the process's own
// descriptors.
func widenSockets() {
	entries, _ := os.ReadDir("/dev/fd") // what can't be listed stays as it is
	for _, entry := range entries {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		if kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); err == nil && kind == unix.SOCK_DGRAM {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer) // or it stays as it is
		}
	}
}
