package replica

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/faultblob"
	"github.com/sparecloud/spare/internal/errs"
)

// TestFullMemberTakesObjectsAgain: while a disk is full writes are refused; once
// it is not, the bucket finds out although nobody writes.
func TestFullMemberTakesObjectsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := stores(3)
		full := faultblob.Wrap(all[1].heads)
		b := openTest(t, all, 1, func(o *Options) { o.Members[1].Heads = blob.New("belgium", full) })
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.Run(ctx) }()
		if _, err := full.Inject(faultblob.Fault{Kind: faultblob.Full, Methods: []string{"put"}, Keys: "b/*"}); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			_, err := b.Put(t.Context(), "k", strings.NewReader("x"), 1, blob.PutOptions{})
			if !errs.Is(err, errs.Unavailable) || errs.IsMaybeApplied(err) {
				t.Errorf("put at a full member gives %v", err)
			}
		}
		if b.Status().Writes {
			t.Error("the bucket says that it takes writes")
		}
		full.Clear()
		time.Sleep(3 * b.o.Timing.Pulse)
		if !b.Status().Writes {
			t.Error("the bucket takes no writes although the member has room again")
		}
		mustPut(t, b, "k", "x")
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = b.Close()
	})
}

// TestRestartFindsWhatWasMissed: what a member missed is known to nobody once
// the process that saw it has ended.
func TestRestartFindsWhatWasMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := stores(3)
		away := faultblob.Wrap(all[1].heads)
		b := openTest(t, all, 0, func(o *Options) { o.Members[1].Heads = blob.New("belgium", away) })
		mustPut(t, b, "deleted", "x")
		synctest.Wait()
		if _, err := away.Inject(faultblob.Fault{Kind: faultblob.Down}); err != nil {
			t.Fatal(err)
		}
		mustPut(t, b, "missed", "x")
		if err := b.Delete(t.Context(), "deleted", blob.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		_ = b.Close()

		b = openTest(t, all, 0)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.Run(ctx) }()
		time.Sleep(6 * b.o.Timing.Sweep)
		if _, err := all[1].body.Head(t.Context(), "missed"); err != nil {
			t.Errorf("the object that belgium missed: %v", err)
		}
		if _, err := all[1].body.Head(t.Context(), "deleted"); !errs.Is(err, errs.NotFound) {
			t.Errorf("the object whose delete belgium missed: %v", err)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = b.Close()
	})
}
