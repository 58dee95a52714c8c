package replica

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/faultblob"
	"github.com/sparecloud/spare/internal/errs"
)

// uploadSteps are the requests that an upload makes of a member, and the call
// that makes them.
var uploadSteps = []struct {
	name   string
	call   string // create, part, complete or abort
	method string
	keys   string
}{
	{"begin", "create", "create_upload", "b/*"},
	{"write the record", "create", "put", "u/*"},
	{"send the part", "part", "upload_part", "b/*"},
	{"note the part's tag", "part", "put", "p/*"},
	{"read the record", "complete", "get", "u/*"},
	{"read the notes", "complete", "list", "p/*"},
	{"list the parts", "complete", "list_parts", "b/*"},
	{"note the whole", "complete", "put", "p/*"},
	{"put together", "complete", "complete_upload", "b/*"},
	{"look whether it is done", "complete", "head", "b/*"},
	{"pin", "complete", "put", "u/*"},
	{"read the head", "complete", "get", "h/*"},
	{"write the head", "complete", "put", "h/*"},
}

var uploadFaults = []faultblob.Fault{
	{Kind: faultblob.Down}, {Kind: faultblob.Error}, {Kind: faultblob.Lost}, {Kind: faultblob.BlackHole}, {Kind: faultblob.Latency, Delay: time.Second},
	{Kind: faultblob.Lost, Times: 1}, {Kind: faultblob.Error, Times: 1},
}

// forEachFault runs f with each step failing in each way, at the members given,
// in buckets of both kinds of tags.
func forEachFault(t *testing.T, f func(t *testing.T, g *trio, r *faultRun)) {
	for _, classes := range [][]blob.Class{content3, unique3} {
		for _, step := range uploadSteps {
			if step.method == "put" && step.keys == "p/*" && classes[0] == blob.ClassContent {
				continue // their tags need no notes
			}
			for _, fault := range uploadFaults {
				name := fmt.Sprintf("%s/%s/%s/%d", classes[0], step.name, fault.Kind, fault.Times)
				t.Run(strings.ReplaceAll(name, " ", "_"), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						fault.Methods, fault.Keys = []string{step.method}, step.keys
						g := newTrio(t, classes, 0)
						r := &faultRun{trio: g, call: step.call, fault: fault, looks: step.method == "head"}
						f(t, g, r)
						if r.hits == 0 {
							t.Error("no call met the fault")
						}
					})
				})
			}
		}
	}
}

// faultRun is an upload with a fault in one of its calls.
type faultRun struct {
	*trio
	call  string
	fault faultblob.Fault
	at    []int // members that it befalls
	looks bool  // it comes behind an answer that was lost
	hits  int
}

// during makes the call under the fault if it is the one.
func (r *faultRun) during(name string, call func() error) error {
	var met []*faultblob.Injected
	if name == r.call {
		for _, i := range r.at {
			if met = append(met, r.fail(i, r.fault)); r.looks {
				r.fail(i, faultblob.Fault{Kind: faultblob.Lost, Methods: []string{"complete_upload"}})
			}
		}
	}
	err := call()
	for _, f := range met {
		r.hits += f.Hits()
	}
	r.heal()
	return err
}

func (r *faultRun) create(key string) (id string, err error) {
	err = r.during("create", func() error {
		id, err = r.b.CreateUpload(r.t.Context(), key, blob.PutOptions{})
		return err
	})
	return id, err
}

func (r *faultRun) part(key, id, body string) (p blob.Part, err error) {
	err = r.during("part", func() error {
		p, err = r.b.UploadPart(r.t.Context(), key, id, 1, strings.NewReader(body), int64(len(body)))
		return err
	})
	return p, err
}

func (r *faultRun) complete(key, id string, p blob.Part) (o blob.Object, err error) {
	err = r.during("complete", func() error {
		o, err = r.b.CompleteUpload(r.t.Context(), key, id, []blob.Part{p}, blob.Condition{})
		return err
	})
	return o, err
}

// TestAnUploadSurvivesAnyFaultOfOneMember: nothing fails, and the object can be
// read without any one member.
func TestAnUploadSurvivesAnyFaultOfOneMember(t *testing.T) {
	forEachFault(t, func(t *testing.T, g *trio, r *faultRun) {
		for i := range 3 {
			r.at = []int{i}
			key := fmt.Sprint("k", i)
			g.put(key, "before")
			id, err := r.create(key)
			if err != nil {
				t.Fatalf("create: %v", err)
			}
			p, err := r.part(key, id, "parts")
			if err != nil {
				t.Fatalf("part: %v", err)
			}
			made, err := r.complete(key, id, p)
			if err != nil {
				t.Fatalf("complete: %v", err)
			}
			g.wantEverywhere(key, "parts")
			again, err := g.b.CompleteUpload(t.Context(), key, id, []blob.Part{p}, blob.Condition{})
			if err != nil || again.ETag != made.ETag || again.Parts != 1 {
				t.Errorf("complete again gives %+v, %v", again, err)
			}
			g.put(key, "after")
			if _, err := g.b.CompleteUpload(t.Context(), key, id, []blob.Part{p}, blob.Condition{}); err != nil {
				t.Errorf("complete once more gives %v", err)
			}
			g.wantBody(key, "after")
			r.again(key, id, p)
		}
		if all, err := g.b.ListUploads(t.Context(), ""); len(all) > 0 || err != nil {
			t.Errorf("list uploads gives %+v, %v", all, err)
		}
	})
}

// TestAnUploadThatFailedIsFinishedByRepeatingIt: two members of three fail. What
// does not succeed says that it may be repeated, and the repetition succeeds,
// once, whatever was written in between.
func TestAnUploadThatFailedIsFinishedByRepeatingIt(t *testing.T) {
	forEachFault(t, func(t *testing.T, g *trio, r *faultRun) {
		for away := range 3 {
			r.at = slices.Delete([]int{0, 1, 2}, away, away+1)
			for _, between := range []bool{false, true} {
				r.uploadAgain(fmt.Sprint("k", away, between), between)
			}
		}
		if all, err := g.b.ListUploads(t.Context(), ""); r.call != "create" && (len(all) > 0 || err != nil) {
			t.Errorf("list uploads gives %+v, %v", all, err)
		}
	})
}

func (r *faultRun) uploadAgain(key string, between bool) {
	t := r.t
	r.put(key, "before")
	id, err := r.create(key)
	if err != nil {
		r.wantUnavailable("create", err)
		id = r.trio.create(key)
	}
	p, err := r.part(key, id, "parts")
	if err != nil {
		r.wantUnavailable("part", err)
		p = r.trio.part(key, id, 1, "parts")
	}
	_, err = r.complete(key, id, p)
	maybe := err != nil && errs.IsMaybeApplied(err)
	if err != nil {
		r.wantUnavailable("complete", err)
		if got, readErr := readAll(t, r.b, key); readErr != nil || got != "before" && !maybe {
			t.Errorf("%s: a Complete that failed (%v) left %q, %v", key, err, got, readErr)
		}
	}
	synctest.Wait()
	failed := err != nil
	if between {
		r.put(key, "between")
	}
	r.trio.complete(key, id, p)
	switch got, err := readAll(t, r.b, key); {
	case err != nil:
		t.Errorf("%s: get gives %v", key, err)
	case !between && got != "parts":
		t.Errorf("%s: it holds %q", key, got)
	case between && !failed && got != "between":
		t.Errorf("%s: a repeated Complete came over what was written since: it holds %q", key, got)
	case between && failed && !maybe && got != "parts":
		t.Errorf("%s: a Complete that failed for good came before what was written since: it holds %q", key, got)
	}
	r.again(key, id, p)
}

// again completes an upload that was completed, with each member away, and
// checks that nothing changes.
func (r *faultRun) again(key, id string, p blob.Part) {
	r.t.Helper()
	want, err := readAll(r.t, r.b, key)
	if err != nil {
		r.t.Error(err)
	}
	for i := range r.heads {
		r.down(i)
		r.trio.complete(key, id, p)
		r.wantBody(key, want)
		r.heal()
	}
}

func (r *faultRun) wantUnavailable(what string, err error) {
	r.t.Helper()
	if !errs.Is(err, errs.Unavailable) {
		r.t.Errorf("%s under %s gives %v, want Unavailable", what, r.fault.Kind, err)
	}
}

// TestACompleteThatDiesIsFinishedByAnother: the gateway ends between any two
// requests of a Complete.
func TestACompleteThatDiesIsFinishedByAnother(t *testing.T) {
	for n := range 30 {
		synctest.Test(t, func(t *testing.T) {
			g := newTrio(t, content3, 0)
			g.put("k", "before")
			id := g.create("k")
			p := g.part("k", id, 1, "parts")
			synctest.Wait()
			var made atomic.Int64
			for i := range g.heads {
				g.b.members[i].Heads = blob.New(siteNames[i], &dying{Driver: g.heads[i], made: &made, most: int64(n)})
			}
			_, err := g.b.CompleteUpload(t.Context(), "k", id, []blob.Part{p}, blob.Condition{})
			synctest.Wait()
			_ = g.b.Close()
			g.b = g.open()
			first := g.complete("k", id, p)
			g.wantEverywhere("k", "parts")
			if err == nil {
				g.put("k", "after")
				if again := g.complete("k", id, p); again.ETag != first.ETag {
					t.Errorf("the ETag is %q, it was %q", again.ETag, first.ETag)
				}
				g.wantBody("k", "after")
			}
		})
	}
}

// dying makes a number of calls and then no more.
type dying struct {
	blob.Driver
	made *atomic.Int64
	most int64
}

func (d *dying) alive() error {
	if d.made.Add(1) > d.most {
		return errs.E(errs.Unavailable, "the gateway has died")
	}
	return nil
}

func (d *dying) Get(ctx context.Context, key string, o blob.GetOptions) (*blob.Reader, error) {
	if err := d.alive(); err != nil {
		return nil, err
	}
	return d.Driver.Get(ctx, key, o)
}

func (d *dying) Head(ctx context.Context, key string) (blob.Object, error) {
	if err := d.alive(); err != nil {
		return blob.Object{}, err
	}
	return d.Driver.Head(ctx, key)
}

func (d *dying) Put(ctx context.Context, key string, body io.Reader, size int64, o blob.PutOptions) (blob.Object, error) {
	if err := d.alive(); err != nil {
		return blob.Object{}, err
	}
	return d.Driver.Put(ctx, key, body, size, o)
}

func (d *dying) List(ctx context.Context, o blob.ListOptions) (blob.Page, error) {
	if err := d.alive(); err != nil {
		return blob.Page{}, err
	}
	return d.Driver.List(ctx, o)
}

func (d *dying) ListParts(ctx context.Context, key, id string, after, limit int) ([]blob.Part, bool, error) {
	if err := d.alive(); err != nil {
		return nil, false, err
	}
	return d.Driver.ListParts(ctx, key, id, after, limit)
}

func (d *dying) CompleteUpload(ctx context.Context, key, id string, parts []blob.Part, c blob.Condition) (blob.Object, error) {
	if err := d.alive(); err != nil {
		return blob.Object{}, err
	}
	return d.Driver.CompleteUpload(ctx, key, id, parts, c)
}
