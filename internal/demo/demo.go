// Package demo shows on one machine what Spare is for. It runs a small shop at
// three clouds, each a process group of its own that also serves a bucket, puts
// `spare run` in front, sends a steady load of customers and another of objects,
// and then kills and freezes clouds, and Spare's own control process, while it
// watches from outside.
//
// The demo is an outsider to Spare: it starts the same binary as users do,
// writes a spare.yaml, and asks the public API. Subpackages, bottom up: group
// (process groups), wire (a connection that repeats nothing), shop and depot
// (what runs at a cloud), load (customers and their ledger), objectload (the same
// for objects), proof (the judge), screen (what people see). This package tells
// the story: [Run] plays it and gives the [Report].
//
//	r, err := demo.Run(ctx, demo.Options{Fast: true, Binary: exe, Stdout: os.Stdout, Stderr: os.Stderr})
//	if err == nil && !r.OK {
//		fmt.Println(r.Broken)
//	}
package demo

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/demo/group"
	"github.com/sparecloud/spare/internal/demo/load"
	"github.com/sparecloud/spare/internal/demo/objectload"
	"github.com/sparecloud/spare/internal/demo/proof"
	"github.com/sparecloud/spare/internal/demo/screen"
	"github.com/sparecloud/spare/internal/errs"
)

// Limit is how long a demo takes at most, but for Keep.
const Limit = 3 * time.Minute

// Options say how to play. Stdout and Stderr are needed.
type Options struct {
	Fast   bool   // under 45 s
	JSON   bool   // Stdout gets the report as one JSON document
	Keep   bool   // stay up after the report until the context ends
	Seed   int64  // of the loads; 0 = by the clock
	Dir    string // folder to play in, empty or absent, kept at the end; "" = a temporary one
	Binary string // the spare program; "" = this one
	Stdout io.Writer
	Stderr io.Writer // the timeline
	TTY    bool      // Stderr is a terminal
	Color  bool      // and shows colours
	Width  int       // columns; 0 = 80

	hooks hooks
}

// hooks let tests sabotage the demo. Zero values leave it as it is.
type hooks struct {
	pace   *pace
	kinds  []proof.Kind // the faults of the story; nil = all
	inject func(kind proof.Kind, send func() error) error
	load   func(ctx context.Context, o load.Options, l *load.Ledger) error
	audit  func(dir string)                            // right before the ledgers are checked
	ledger func([]objectload.Entry) []objectload.Entry // of objects, as it is checked
}

// Report is the demo's result.
type Report = proof.Report

// Run plays the demo, writes its report to Stdout and leaves nothing behind.
// The report is nil only with an error: of kind Invalid for a folder that is
// in use, Unavailable when the stage could not be set or ctx ended. A promise
// that was broken is no error: see Report.OK.
func Run(ctx context.Context, o Options) (*Report, error) {
	dir, remove, err := folder(o)
	if err != nil {
		return nil, err
	}
	defer remove()
	if o.Binary == "" {
		if o.Binary, err = os.Executable(); err != nil {
			return nil, errs.Wrap(errs.Unavailable, err, "find the spare program")
		}
	}
	if o.Seed == 0 {
		o.Seed = time.Now().UnixNano() % 1e9
	}
	host := group.Open()
	defer host.Close()
	s := &stage{Options: o, dir: dir, host: host, began: time.Now(), pace: paceOf(o),
		screen: screen.New(o.Stderr, screen.Options{TTY: o.TTY, Color: o.Color, Width: o.Width})}
	defer s.screen.End()

	playing, cancel := context.WithTimeoutCause(ctx, Limit, errs.E(errs.Unavailable, "the demo took longer than %s", Limit))
	defer cancel()
	r, err := s.play(playing)
	if err != nil {
		if playing.Err() != nil {
			err = errs.Wrap(errs.Unavailable, context.Cause(playing), "the demo was stopped")
		}
		return nil, err
	}
	if o.Keep || o.Dir != "" {
		r.Dir = dir
	}
	if err := s.show(r); err != nil {
		return r, errs.Wrap(errs.Unavailable, err, "write the report")
	}
	if o.Keep {
		s.stay(ctx)
	}
	return r, nil
}

func (s *stage) show(r *Report) error {
	s.screen.End()
	if !s.JSON {
		return s.screen.Report(s.Stdout, r)
	}
	enc := json.NewEncoder(s.Stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// stay keeps everything up for people to look at.
func (s *stage) stay(ctx context.Context) {
	s.screen.Say("the shop stays up at http://%s", s.front)
	s.screen.Say("the bucket stays up at http://%s; try: spare bucket status -c %s", s.s3, filepath.Join(s.dir, "spare.yaml"))
	s.screen.Say("Spare's API is at http://%s; try: spare status --api http://%s", s.api, s.api)
	for _, c := range s.clouds {
		s.screen.Say("%s is at http://%s, its bucket at http://%s", c.name, c.front, c.bucket)
	}
	s.screen.Say("Ctrl-C ends it")
	<-ctx.Done()
}

// wipe removes the folder, each cloud's part of it at once with the others':
// they have some thousand files, whose removal waits for the disk.
func wipe(dir string) {
	parts, _ := filepath.Glob(filepath.Join(dir, "*", "*"))
	var wg sync.WaitGroup
	for _, p := range parts {
		wg.Go(func() { _ = os.RemoveAll(p) }) // what stays is in the system's folder for such leftovers
	}
	wg.Wait()
	_ = os.RemoveAll(dir)
}

// folder gives the folder to play in, and what to do with it at the end.
func folder(o Options) (dir string, remove func(), err error) {
	if o.Dir == "" {
		dir, err = os.MkdirTemp("", "spare-demo-")
		return dir, func() {
			if !o.Keep {
				wipe(dir)
			}
		}, errs.Wrap(errs.Unavailable, err, "make a folder for the demo")
	}
	dir, err = filepath.Abs(o.Dir)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err != nil {
		return "", nil, errs.Wrap(errs.Unavailable, err, "make the folder %s", o.Dir)
	}
	if names, err := os.ReadDir(dir); err != nil || len(names) > 0 {
		err = errors.Join(errs.E(errs.Invalid, "the folder %s is not empty", dir), err)
		return "", nil, errs.WithHint(errs.Wrap(errs.Invalid, err, "prepare the demo"), "name one that is empty, or does not exist yet")
	}
	return dir, func() {}, nil
}
