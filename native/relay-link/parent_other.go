//go:build !linux

package main

import "os"

// tieToParent has no tie to make here: the socket's end has to do.
func tieToParent(parent int) bool { return os.Getppid() == parent }
