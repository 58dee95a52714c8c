// Package qualify finds out what a provider's bucket is worth by trying it,
// before anything is entrusted to it: races, stale tags, reads, listings and
// deletions at once after a write. What a vendor says does not count; several
// accept a condition and ignore it.
//
//	report, err := qualify.Run(ctx, bucket, qualify.Options{})
//	if err == nil && !report.Class.Heads() {
//		fmt.Println("bodies only:", report.Why())
//	}
//
// The checks are those of section 14.1 of the replica protocol. They can show
// that a bucket breaks its word, and not that it never will: a race that is
// lost once in a million is not seen in a hundred.
package qualify

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/run"
)

// Options tune a run; zero values give the defaults.
type Options struct {
	Prefix string // keys are made under it, in a folder of a random name; default "spare-qualify/"
	Racers int    // conditional writes of each kind that race; default 100
	Batch  int    // of them at once, for the same object; default 20
	Rounds int    // of write, read, list and delete; default 30
	// Step is called as each check begins, from Run's goroutine. nil = nobody listens.
	Step func(name string)
}

// Finding is what one check saw.
type Finding struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Heads  bool   `json:"heads"`  // a bucket that does not pass may not hold heads
	Detail string `json:"detail"` // what was seen
}

// Report is what a run found.
type Report struct {
	Class             blob.Class    `json:"class"`
	Findings          []Finding     `json:"findings"`
	PutP50            time.Duration `json:"putP50"` // median of a small Put
	GetP50            time.Duration `json:"getP50"` // of a small Get, to the body's end
	ConditionalDelete bool          `json:"conditionalDelete"`
	Versioned         bool          `json:"versioned"`
	Paths             bool          `json:"paths"`       // keys are paths of files: a//b, or a beside a/b, is refused
	ClockOffset       time.Duration `json:"clockOffset"` // the provider's clock is ahead by this; known to about a second
}

// Why says in one line what keeps the bucket from holding heads, or "".
func (r Report) Why() string {
	var all []string
	for _, f := range r.Findings {
		if f.Heads && !f.OK {
			all = append(all, f.Name+": "+f.Detail)
		}
	}
	return strings.Join(all, "; ")
}

// Run tries the bucket and gives what it found, and removes what it made. It
// takes about 500 small requests, one after another but for the races.
//
// A bucket whose conditional writes or reads cannot be relied on is no error:
// its class is ClassBodies and Why names what it did. The error is of the
// bucket that could not be tried (its kind and hint are the bucket's), or that
// cannot even hold bodies (errs.Unsupported); the report then has what was
// found so far and no class.
func Run(ctx context.Context, b *blob.Bucket, o Options) (Report, error) {
	o.complete()
	var name [8]byte
	_, _ = rand.Read(name[:]) // never fails
	p := &probe{b: b.Under(o.Prefix + hex.EncodeToString(name[:]) + "/"), o: o}
	err := p.all(ctx)
	p.tidy(ctx)
	if err != nil {
		return p.report, errs.Wrap(errs.KindOf(err), err, "qualify bucket %s", b.Name())
	}
	p.report.Class = p.class()
	return p.report, nil
}

func (o *Options) complete() {
	if o.Prefix == "" {
		o.Prefix = "spare-qualify/"
	}
	if o.Racers <= 0 {
		o.Racers = 100
	}
	if o.Batch <= 1 {
		o.Batch = 20
	}
	if o.Rounds <= 0 {
		o.Rounds = 30
	}
	if o.Step == nil {
		o.Step = func(string) {}
	}
}

// probe is one run.
type probe struct {
	b      *blob.Bucket // the run's own part of it
	o      Options
	report Report
	names  int
	made   made
	unique bool // every write has taken a new tag
}

// need is what a check is for.
type need int

const (
	note  need = iota // it is told, and changes nothing
	heads             // a bucket that fails it holds no heads
	vital             // a bucket that fails it holds nothing
)

// fault is what a bucket did wrong, as opposed to what could not be tried.
type fault struct{ what string }

func (f *fault) Error() string { return f.what }

func wrong(format string, args ...any) error { return &fault{fmt.Sprintf(format, args...)} }

// all makes the checks, in an order that tells of the plainest trouble first.
func (p *probe) all(ctx context.Context) error {
	for _, c := range []struct {
		name string
		need need
		try  func(ctx context.Context) (detail string, err error)
	}{
		{"write, read, delete", vital, p.basics},
		{"range", vital, p.ranges},
		{"read after write", heads, p.rounds},
		{"conditional create", heads, p.create},
		{"conditional overwrite", heads, p.overwrite},
		{"tags", heads, p.tags},
		{"condition on an absent object", heads, p.absent},
		{"conditional delete", note, p.conditionalDelete},
		{"broken upload", note, p.broken},
		{"keys", note, p.keys},
		{"metadata", note, p.metadata},
		{"copy", note, p.copy},
		{"multipart", note, p.multipart},
		{"versions", note, p.versions},
		{"clock", note, p.clock},
	} {
		p.o.Step(c.name)
		detail, err := p.again(ctx, c.try)
		var f *fault
		switch {
		case err == nil:
		case errors.As(err, &f):
			detail = f.what
		case ctx.Err() != nil, c.need != note && offered(err):
			return errs.Wrap(errs.KindOf(err), err, "%s", c.name)
		case offered(err):
			detail = "failed: " + err.Error()
		default:
			detail = "not offered: " + err.Error()
		}
		p.report.Findings = append(p.report.Findings, Finding{Name: c.name, OK: err == nil, Heads: c.need == heads, Detail: detail})
		if err != nil && c.need == vital {
			return errs.E(errs.Unsupported, "the bucket cannot hold objects: %s: %s", c.name, detail)
		}
	}
	return nil
}

// class is what the findings earn.
func (p *probe) class() blob.Class {
	for _, f := range p.report.Findings {
		if f.Heads && !f.OK {
			return blob.ClassBodies
		}
	}
	if p.unique {
		return blob.ClassUnique
	}
	return blob.ClassContent
}

// tries is how often a check is begun anew when the provider does not answer.
const tries = 3

// again repeats a check, on other objects, while it could not be finished.
func (p *probe) again(ctx context.Context, try func(context.Context) (string, error)) (detail string, err error) {
	wait := run.Backoff{Min: 200 * time.Millisecond, Max: 2 * time.Second, Jitter: 0.5}
	for n := range tries {
		if n > 0 {
			if e := run.Sleep(ctx, wait.Next()); e != nil {
				return "", err
			}
		}
		detail, err = try(ctx)
		var f *fault
		passing := errs.Is(err, errs.Unavailable) && !errors.Is(err, blob.ErrNoBucket) && !errors.Is(err, blob.ErrFull)
		if errors.As(err, &f) || !passing || ctx.Err() != nil {
			return detail, err
		}
	}
	return detail, err
}

// offered says whether err is something else than the provider's word that it
// cannot do a thing. Some say so with 501, some call the request invalid.
func offered(err error) bool {
	return !errs.Is(err, errs.Unsupported) && !errs.Is(err, errs.Invalid)
}

// fresh gives a key that was not used yet.
func (p *probe) fresh(what string) string {
	p.names++
	return fmt.Sprintf("%s-%04d", what, p.names)
}
