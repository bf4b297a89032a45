package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// tieToParent makes the kernel end this process with its parent, however that ends. The socket's end tells the
// same, but only to a program that is well enough to read it. It has to be called from an init function,
// which runs on the first thread: the tie goes with the thread that made it.
func tieToParent(parent int) bool {
	_ = unix.Prctl(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL), 0, 0, 0)
	return os.Getppid() == parent // or it ended before the tie was made
}
