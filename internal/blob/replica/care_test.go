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
		<-done
		b.Close()
	})
}
