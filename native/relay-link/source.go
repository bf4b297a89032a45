package main

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// The program carries what it was built from, so that every build, however it was made, knows its own hash.
//
//go:embed *.go go.mod go.sum internal
var sources embed.FS

// sourceHash names the state of the sources. scripts/devstack/native_link.py computes the same.
func sourceHash() (string, error) {
	var names []string
	err := fs.WalkDir(sources, ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && isSource(name) && !entry.IsDir() {
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		return "", err
	}
	slices.Sort(names)
	hash := sha256.New()
	for _, name := range names {
		text, err := sources.ReadFile(name)
		if err != nil {
			return "", err
		}
		fmt.Fprintf(hash, "%s %d\n", name, len(text))
		hash.Write(text)
	}
	return hex.EncodeToString(hash.Sum(nil))[:16], nil
}

func isSource(name string) bool {
	if path.Ext(name) == ".go" {
		return !strings.HasSuffix(name, "_test.go")
	}
	return name == "go.mod" || name == "go.sum"
}
