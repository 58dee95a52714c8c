package config

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"path/filepath"
	"time"
)

// DefaultPoll is how often a [Watcher] looks.
const DefaultPoll = time.Second

// Watcher tells when the content of an estate file, or of a file that it
// refers to by ${file:path}, has changed. It reads content on a timer, and so
// does not care how the change came about: a write, an editor's rename, a
// symbolic link that was swapped, another mount.
//
// Take the digest before the file is loaded, so that no change is lost in
// between:
//
//	w := &config.Watcher{Path: path}
//	seen := w.Digest()
//	e, err := config.Load(path, config.Options{})
//	go w.Run(ctx, seen, func(string) { reload() })
type Watcher struct {
	Path     string
	Every    time.Duration                     // between looks; 0 = DefaultPoll
	ReadFile func(path string) ([]byte, error) // nil reads the file
}

// Digest names what the files hold now, in hex. A file that cannot be read is
// a state like any other, and so has a digest too.
func (w *Watcher) Digest() string {
	read := w.ReadFile
	if read == nil {
		read = readBounded
	}
	h := sha256.New()
	add := func(path string) []byte {
		data, err := read(path)
		length := int64(len(data))
		if err != nil {
			data, length = nil, -1-int64(readKind(err))
		}
		var head [8]byte
		binary.BigEndian.PutUint64(head[:], uint64(length))
		h.Write(head[:])
		h.Write(data)
		return data
	}
	seen := map[string]bool{}
	for _, path := range references(filepath.Dir(w.Path), add(w.Path)) {
		if !seen[path] {
			seen[path] = true
			add(path)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Run calls changed with the new digest each time that the digest differs
// from the last one told (at first, from seen) and is the same in two looks in
// a row, so that a file is not taken half-written. It looks again when changed
// has returned. Run blocks until ctx ends, and then gives nil.
func (w *Watcher) Run(ctx context.Context, seen string, changed func(digest string)) error {
	every := w.Every
	if every <= 0 {
		every = DefaultPoll
	}
	tick := time.NewTicker(every)
	defer tick.Stop()
	for last := seen; ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now := w.Digest()
		if now != seen && now == last {
			seen = now
			changed(now)
		}
		last = now
	}
}
