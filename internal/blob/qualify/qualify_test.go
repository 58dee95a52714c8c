package qualify_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/memblob"
	"github.com/sparecloud/spare/internal/blob/qualify"
	"github.com/sparecloud/spare/internal/errs"
)

// quick keeps what a run does and does less of it.
var quick = qualify.Options{Racers: 20, Batch: 10, Rounds: 3}

// finding gives the finding of a name.
func finding(t *testing.T, r qualify.Report, name string) qualify.Finding {
	t.Helper()
	i := slices.IndexFunc(r.Findings, func(f qualify.Finding) bool { return f.Name == name })
	if i < 0 {
		t.Fatalf("there is no finding %q in %+v", name, r.Findings)
	}
	return r.Findings[i]
}

// empty says that a run has left nothing.
func empty(t *testing.T, d blob.Driver) {
	t.Helper()
	p, err := d.List(context.Background(), blob.ListOptions{})
	if err != nil || len(p.Objects) > 0 {
		t.Errorf("left are %+v, %v", p.Objects, err)
	}
	u, err := d.ListUploads(context.Background(), "")
	if err != nil || len(u) > 0 {
		t.Errorf("left are the uploads %+v, %v", u, err)
	}
}

func TestAnHonestBucketEarnsItsClass(t *testing.T) {
	for _, class := range []blob.Class{blob.ClassContent, blob.ClassUnique, blob.ClassBodies} {
		for _, versioned := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, versions %v", class, versioned), func(t *testing.T) {
				d := memblob.Open(memblob.Options{Tags: class, Versioned: versioned, MinPart: blob.MinPart})
				r, err := qualify.Run(t.Context(), blob.New("here", d), qualify.Options{})
				if err != nil {
					t.Fatal(err)
				}
				if r.Class != class || r.Versioned != versioned || r.ConditionalDelete != class.Heads() || r.Paths {
					t.Errorf("found %+v", r)
				}
				if (r.Why() == "") != class.Heads() {
					t.Errorf("why: %q", r.Why())
				}
				for _, f := range r.Findings {
					if !f.OK && class.Heads() || f.Detail == "" {
						t.Errorf("%+v", f)
					}
				}
				if r.PutP50 <= 0 || r.GetP50 <= 0 || r.ClockOffset.Abs() > time.Second {
					t.Errorf("put %v, get %v, clock %v", r.PutP50, r.GetP50, r.ClockOffset)
				}
				empty(t, d)
			})
		}
	}
}

// bubble makes a test whose waiting takes no time.
func bubble(f func(t *testing.T)) func(t *testing.T) {
	return func(t *testing.T) { synctest.Test(t, f) }
}

func TestABucketThatLiesIsFoundOut(t *testing.T) {
	for _, tt := range liars() {
		for _, class := range []blob.Class{blob.ClassContent, blob.ClassUnique} {
			l := &liar{Driver: memblob.Open(memblob.Options{Tags: class})}
			tt.lie(l)
			t.Run(l.name+", "+string(class), bubble(func(t *testing.T) {
				r, err := qualify.Run(t.Context(), blob.New("here", l), quick)
				if err != nil {
					t.Fatal(err)
				}
				if f := finding(t, r, tt.finding); f.OK || !strings.Contains(f.Detail, tt.word) {
					t.Errorf("found %+v, want a word of %q", f, tt.word)
				}
				want := blob.ClassBodies
				if tt.heads {
					want = class
				}
				if r.Class != want {
					t.Errorf("class %s, want %s: %s", r.Class, want, r.Why())
				}
				if !tt.heads && !strings.Contains(r.Why(), tt.word) {
					t.Errorf("why: %s", r.Why())
				}
				empty(t, l.Driver)
			}))
		}
	}
}

func TestABucketThatCannotHoldBodiesIsRefused(t *testing.T) {
	for word, lie := range map[string]func(l *liar){
		"does not appear": func(l *liar) {
			l.put = func(ctx context.Context, key string, data []byte, o blob.PutOptions) (blob.Object, error) {
				return blob.Object{ETag: "t"}, nil
			}
		},
		"other bytes": func(l *liar) {
			l.put = func(ctx context.Context, key string, data []byte, o blob.PutOptions) (blob.Object, error) {
				return l.store(ctx, key, bytes.ToUpper(append([]byte("x"), data[1:]...)), o)
			}
		},
		"others came": func(l *liar) {
			l.get = func(ctx context.Context, key string, o blob.GetOptions) (*blob.Reader, error) {
				if o.Range == nil || o.Range.Offset < 0 {
					return l.Driver.Get(ctx, key, o)
				}
				r, err := l.Driver.Get(ctx, key, blob.GetOptions{Range: &blob.Range{Offset: 0, Length: o.Range.Length}})
				if err == nil {
					r.Offset, r.Length, _ = o.Range.Resolve(r.Size)
					r.Body = io.NopCloser(io.LimitReader(zero{}, r.Length))
				}
				return r, err
			}
		},
		"no writing here": func(l *liar) {
			l.put = func(ctx context.Context, key string, data []byte, o blob.PutOptions) (blob.Object, error) {
				return blob.Object{}, errs.E(errs.Unsupported, "no writing here")
			}
		},
	} {
		t.Run(word, bubble(func(t *testing.T) {
			l := &liar{Driver: memblob.Open(memblob.Options{})}
			lie(l)
			r, err := qualify.Run(t.Context(), blob.New("here", l), quick)
			if !errs.Is(err, errs.Unsupported) || !strings.Contains(err.Error(), word) || r.Class != blob.ClassUnknown {
				t.Errorf("class %q, %v", r.Class, err)
			}
		}))
	}
}

type zero struct{}

func (zero) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestABucketThatCannotBeTriedHasNoClass(t *testing.T) {
	for name, fail := range map[string]error{
		"denied":    errs.WithHint(errs.E(errs.Denied, "no"), "check the key"),
		"no bucket": errs.E(errs.Unavailable, "%w", blob.ErrNoBucket),
		"full":      errs.E(errs.Unavailable, "%w", blob.ErrFull),
		"skewed":    errs.E(errs.Denied, "%w", blob.ErrSkew),
	} {
		t.Run(name, bubble(func(t *testing.T) {
			var asked atomic.Int32
			l := &liar{Driver: memblob.Open(memblob.Options{})}
			l.put = func(context.Context, string, []byte, blob.PutOptions) (blob.Object, error) {
				asked.Add(1)
				return blob.Object{}, fail
			}
			r, err := qualify.Run(t.Context(), blob.New("here", l), quick)
			if !errors.Is(err, fail) || errs.KindOf(err) != errs.KindOf(fail) || errs.Hint(err) != errs.Hint(fail) || r.Class != blob.ClassUnknown {
				t.Errorf("class %q, %v", r.Class, err)
			}
			if asked.Load() != 1 {
				t.Errorf("asked %d times for what does not pass", asked.Load())
			}
		}))
	}
}

func TestAProviderThatStumblesIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int32
		l := &liar{Driver: memblob.Open(memblob.Options{})}
		l.put = func(ctx context.Context, key string, data []byte, o blob.PutOptions) (blob.Object, error) {
			if o.If.Absent && n.Add(1)%5 == 2 {
				return blob.Object{}, errs.E(errs.Unavailable, "come again")
			}
			return l.store(ctx, key, data, o)
		}
		r, err := qualify.Run(t.Context(), blob.New("here", l), quick)
		if err != nil || r.Class != blob.ClassContent {
			t.Fatalf("class %q, %v: %s", r.Class, err, r.Why())
		}
		if f := finding(t, r, "conditional create"); !strings.Contains(f.Detail, "come again") {
			t.Errorf("found %+v", f)
		}
		empty(t, l.Driver)
	})
}

func TestARaceThatNobodyFinishedIsHeldAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var first atomic.Value
		l := &liar{Driver: memblob.Open(memblob.Options{})}
		l.put = func(ctx context.Context, key string, data []byte, o blob.PutOptions) (blob.Object, error) {
			if o.If.Absent && strings.Contains(key, "race") {
				first.CompareAndSwap(nil, key)
				if first.Load() == key {
					return blob.Object{}, errs.E(errs.Unavailable, "come again")
				}
			}
			return l.store(ctx, key, data, o)
		}
		r, err := qualify.Run(t.Context(), blob.New("here", l), quick)
		if err != nil || r.Class != blob.ClassContent {
			t.Fatalf("class %q, %v: %s", r.Class, err, r.Why())
		}
		if f := finding(t, r, "conditional create"); !strings.Contains(f.Detail, "10 were told to come again") {
			t.Errorf("found %+v", f)
		}
	})
}

func TestACheckThatOnlyTellsDoesNotEndTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &liar{Driver: memblob.Open(memblob.Options{}), part: errs.E(errs.Denied, "no parts")}
		r, err := qualify.Run(t.Context(), blob.New("here", l), quick)
		if err != nil || r.Class != blob.ClassContent {
			t.Fatalf("class %q, %v", r.Class, err)
		}
		if f := finding(t, r, "multipart"); f.OK || !strings.Contains(f.Detail, "no parts") {
			t.Errorf("found %+v", f)
		}
		empty(t, l.Driver)
	})
}

func TestARunThatIsGivenUpLeavesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		d := memblob.Open(memblob.Options{})
		o := quick
		o.Step = func(name string) {
			if name == "multipart" {
				cancel()
			}
		}
		b := blob.New("here", d)
		if _, err := b.Put(ctx, "mine", strings.NewReader("x"), 1, blob.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		r, err := qualify.Run(ctx, b, o)
		if !errors.Is(err, context.Canceled) || r.Class != blob.ClassUnknown {
			t.Errorf("class %q, %v", r.Class, err)
		}
		if err := b.Delete(context.Background(), "mine", blob.DeleteOptions{}); err != nil {
			t.Error(err)
		}
		empty(t, d)
	})
}

func TestWhatCannotBeRemovedIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &liar{Driver: memblob.Open(memblob.Options{})}
		l.del = func(ctx context.Context, key string, o blob.DeleteOptions) error {
			if strings.Contains(key, "clock") {
				return errs.E(errs.Denied, "no deletions")
			}
			return l.Driver.Delete(ctx, key, o)
		}
		r, err := qualify.Run(t.Context(), blob.New("here", l), quick)
		if err != nil {
			t.Fatal(err)
		}
		if f := finding(t, r, "clean-up"); f.OK || !strings.Contains(f.Detail, "1 objects") || !strings.Contains(f.Detail, "no deletions") {
			t.Errorf("found %+v", f)
		}
	})
}
