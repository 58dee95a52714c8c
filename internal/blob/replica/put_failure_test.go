package replica

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/faultblob"
	"github.com/sparecloud/spare/internal/errs"
)

// told is what the caller of an operation is told.
type told string

const (
	acked   told = "acknowledged"
	refused told = "failed without effect"
	unsure  told = "may have been applied"
)

func toldBy(err error) told {
	switch {
	case err == nil:
		return acked
	case errs.IsMaybeApplied(err):
		return unsure
	default:
		return refused
	}
}

// failStep is one kind of call of an operation, at one member.
type failStep struct {
	name    string
	body    bool // at the plain bucket, else at the companion
	methods []string
	keys    string
}

var (
	stepBody      = failStep{"body", false, []string{"put"}, stagePrefix + "*"}
	stepHeadRead  = failStep{"head read", false, []string{"get"}, headPrefix + "*"}
	stepHeadWrite = failStep{"head write", false, []string{"put"}, headPrefix + "*"}
	stepPublish   = failStep{"publish", true, []string{"copy", "delete"}, ""}
	stepOpen      = failStep{"open staged", false, []string{"get"}, stagePrefix + "*"}
	stepOpenPlain = failStep{"open plain", true, []string{"get"}, ""}
)

// failKinds is the ways in which a step fails.
var failKinds = []faultblob.Fault{
	{Kind: faultblob.Down},
	{Kind: faultblob.Error},
	{Kind: faultblob.Lost},
	{Kind: faultblob.BlackHole},
	{Kind: faultblob.Latency, Delay: 25 * time.Second},
	{Kind: faultblob.Late, Delay: 20 * time.Second},
}

// failCase is one line of the table.
type failCase struct {
	op        string // "put", "delete"
	before    string // what the key holds; "" = nothing
	witnesses int
	step      failStep
	fault     faultblob.Fault
	at        []int // members that fail
}

func (c failCase) String() string {
	return fmt.Sprintf("%s over %q with %d witnesses, %s %s at %v", c.op, c.before, c.witnesses, c.step.name, c.fault.Kind, c.at)
}

// want is what the caller must be told. It is the table; the rest of the test
// is what follows from it.
func (c failCase) want() told {
	data := 3 - c.witnesses
	holds := 0 // data members that take the body
	for i := range data {
		if !slices.Contains(c.at, i) {
			holds++
		}
	}
	many := len(c.at) >= 2
	switch c.step.name {
	case stepBody.name:
		// No head was written: so it never takes effect, whatever becomes of the
		// bodies. One that comes late enough is waited for while the writer waits.
		if holds < 2 && c.fault.Kind != faultblob.Latency {
			return refused
		}
	case stepHeadRead.name:
		if many && c.fault.Kind != faultblob.Late { // which a read does not meet
			return refused
		}
	case stepHeadWrite.name:
		// Where the answer is lost the register is read again, and holds it.
		if many && c.fault.Kind != faultblob.Lost {
			return unsure
		}
	}
	return acked
}

func TestWriteFailureTable(t *testing.T) {
	subsets := [][]int{{0}, {1}, {2}, {0, 1}, {0, 2}, {1, 2}, {0, 1, 2}}
	n := 0
	for _, op := range []string{"put", "delete"} {
		steps := []failStep{stepBody, stepHeadRead, stepHeadWrite, stepPublish}
		befores := []string{"", "old"}
		if op == "delete" {
			steps, befores = steps[1:], befores[1:]
		}
		for _, step := range steps {
			for _, fault := range failKinds {
				for _, at := range subsets {
					for _, before := range befores {
						for witnesses := range 2 {
							c := failCase{op, before, witnesses, step, fault, at}
							synctest.Test(t, func(t *testing.T) { c.run(t) })
							if n++; t.Failed() {
								t.Fatal(c)
							}
						}
					}
				}
			}
		}
	}
	t.Logf("%d cases", n)
}

// run plays the case: the operation, what reads give while the fault lasts,
// after it, and when all that was late has come; then repair.
func (c failCase) run(t *testing.T) {
	g := newFleet(3, c.witnesses)
	b, reader := g.open(t), g.open(t)
	if c.before != "" {
		mustPut(t, b, "k", c.before)
		synctest.Wait()
		time.Sleep(time.Second)
	}
	for _, i := range c.at {
		f := c.fault
		f.Methods, f.Keys = c.step.methods, c.step.keys
		d := g.heads[i]
		if c.step.body {
			d = g.body[i]
		}
		if _, err := d.Inject(f); err != nil {
			t.Fatal(err)
		}
	}
	after := "" // what the key holds if the operation took effect
	var err error
	if c.op == "put" {
		after = "new"
		_, err = b.Put(t.Context(), "k", strings.NewReader(after), int64(len(after)), blob.PutOptions{})
	} else {
		err = b.Delete(t.Context(), "k", blob.DeleteOptions{})
	}
	got := toldBy(err)
	if want := c.want(); got != want {
		t.Errorf("%s: told %q, want %q (%v)", c, got, want, err)
	}
	w := &watch{c: c, t: t, g: g, told: got, after: after}
	w.read("while the fault lasts", reader)
	for i := range 3 { // what comes late still does
		g.heads[i].Clear()
		g.body[i].Clear()
	}
	w.read("when the fault is over", reader)
	time.Sleep(5 * time.Second)
	w.mustRead("a little later", reader)
	g.heal(t)
	time.Sleep(2 * time.Minute)
	w.mustRead("when all has come that was late", reader)
	_ = b.Close()

	fresh := g.open(t)
	mustRepair(t, fresh)
	w.mustRead("after repair", fresh)
	w.wantSettled("after repair")
	time.Sleep(fresh.o.Timing.Grace + time.Minute)
	mustRepair(t, fresh)
	mustRepair(t, fresh) // which unstages what the first was only free to behind others
	w.wantSettled("after the grace")
	for i := range g.all {
		if n := names(t, g.all[i].heads, stagePrefix); len(n) != 0 {
			t.Errorf("%s: after the grace %s still has staged %q", c, siteNames[i], n)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

// watch checks what is seen of a key while an operation's fate is decided.
type watch struct {
	c     failCase
	t     *testing.T
	g     *fleet
	told  told
	after string
	seen  bool // a read has given what the operation wrote
}

// read reads the key, which may fail.
func (w *watch) read(when string, b *Bucket) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	got, err := readWith(ctx, b, "k")
	switch {
	case err != nil:
		return
	case got == w.after && got != w.c.before:
		if w.told == refused {
			w.t.Errorf("%s: %s a read gives %q, of a write that %s", w.c, when, got, w.told)
		}
		w.seen = true
	case got == w.c.before:
		if w.told == acked || w.seen {
			w.t.Errorf("%s: %s a read gives %q again (%s, seen before: %v)", w.c, when, got, w.told, w.seen)
		}
	default:
		w.t.Errorf("%s: %s a read gives %q", w.c, when, got)
	}
	w.plain(when)
}

func (w *watch) mustRead(when string, b *Bucket) {
	w.t.Helper()
	if _, err := readWith(w.t.Context(), b, "k"); err != nil {
		w.t.Errorf("%s: %s a read fails: %v", w.c, when, err)
	}
	w.read(when, b)
}

type opener interface {
	Get(ctx context.Context, key string, o blob.GetOptions) (*blob.Reader, error)
}

// readWith reads an object; one that is not there is "".
func readWith(ctx context.Context, b opener, key string) (string, error) {
	r, err := b.Get(ctx, key, blob.GetOptions{})
	if errs.Is(err, errs.NotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer func() { _ = r.Close() }()
	var s strings.Builder
	_, err = io.Copy(&s, r)
	return s.String(), err
}

// plain makes sure that stock tools see nothing of a write that failed.
func (w *watch) plain(when string) {
	w.t.Helper()
	for i := range w.g.all[:3-w.c.witnesses] {
		for _, key := range names(w.t, w.g.all[i].body, "") {
			got, err := readWith(w.t.Context(), w.g.all[i].body, key)
			if err != nil {
				w.t.Fatal(err)
			}
			if got == "" {
				continue // it is being deleted just now
			}
			if key != "k" || got != w.c.before && (got != w.after || w.told == refused) {
				w.t.Errorf("%s: %s the plain key %q of %s holds %q", w.c, when, key, siteNames[i], got)
			}
		}
	}
}

// wantSettled makes sure that all members hold the same, and what was seen.
func (w *watch) wantSettled(when string) {
	w.t.Helper()
	got := w.g.wantWhole(w.t)["k"]
	want := []string{w.after}
	switch {
	case w.told == refused:
		want = []string{w.c.before}
	case w.told == unsure && !w.seen:
		want = append(want, w.c.before)
	}
	if !slices.Contains(want, got) {
		w.t.Errorf("%s: %s the members hold %q, want one of %q", w.c, when, got, want)
	}
}

func TestReadFailureTable(t *testing.T) {
	kinds := append(slices.Clone(failKinds[:5]), faultblob.Fault{Kind: faultblob.Truncated}, faultblob.Fault{Kind: faultblob.Corrupt}, faultblob.Fault{Kind: faultblob.Stalled})
	subsets := [][]int{{0}, {1}, {2}, {0, 1}, {0, 2}, {1, 2}, {0, 1, 2}}
	small, large := "small", strings.Repeat("0123456789abcdef", smallBody/16+1)
	for _, want := range []string{small, large} {
		for _, steps := range [][]failStep{{stepHeadRead}, {stepOpen, stepOpenPlain}} {
			for _, fault := range kinds {
				for _, at := range subsets {
					if want == large && (steps[0].name == stepHeadRead.name || len(at) > 1 || fault.Kind != faultblob.Corrupt && fault.Kind != faultblob.Stalled && fault.Kind != faultblob.Truncated) {
						continue // the size makes no difference there
					}
					for witnesses := range 2 {
						c := failCase{"get", want[:5], witnesses, steps[0], fault, at}
						synctest.Test(t, func(t *testing.T) { c.runGet(t, want, steps) })
					}
				}
			}
		}
	}
}

// runGet reads an object with faults at some members: it gives the right bytes
// or fails, and must give them where enough members are well.
func (c failCase) runGet(t *testing.T, want string, steps []failStep) {
	g := newFleet(3, c.witnesses)
	b := g.open(t)
	mustPut(t, b, "k", want)
	synctest.Wait()
	for _, i := range c.at {
		for _, step := range steps {
			f := c.fault
			f.Methods, f.Keys = step.methods, step.keys
			d := g.heads[i]
			if step.body {
				d = g.body[i]
			}
			if _, err := d.Inject(f); err != nil {
				t.Fatal(err)
			}
		}
	}
	ok := len(c.at) <= 1
	if c.step.name != stepHeadRead.name {
		ok = false
		for i := range 3 - c.witnesses {
			ok = ok || !slices.Contains(c.at, i)
		}
		ok = ok || c.fault.Kind == faultblob.Latency // which is waited for
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	got, err := readWith(ctx, b, "k")
	switch {
	case err == nil && got != want:
		t.Errorf("%s: get gives %d wrong bytes", c, len(got))
	case ok && err != nil && (len(want) <= smallBody || c.fault.Kind != faultblob.Corrupt):
		t.Errorf("%s: get fails: %v", c, err) // a large one that is corrupt breaks off, and the next read takes another
	case !ok && err == nil:
		t.Errorf("%s: get succeeds", c)
	case err != nil && !errs.Is(err, errs.Unavailable):
		t.Errorf("%s: get gives %v", c, err)
	}
	if ok {
		for range c.at { // each read finds out one at most
			got, err = readWith(ctx, b, "k")
		}
		if err != nil || got != want {
			t.Errorf("%s: get goes on to give %d bytes, %v", c, len(got), err)
		}
	}
	g.heal(t)
	time.Sleep(wrongFor + time.Minute)
	mustRepair(t, b)
	if got := g.wantWhole(t)["k"]; got != want {
		t.Errorf("%s: after repair the members hold %d bytes", c, len(got))
	}
	if t.Failed() {
		t.FailNow()
	}
}
