package objects_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/s3blob/peer"
	"github.com/sparecloud/spare/internal/errs"
)

// TestHistoriesAreLinearizable lets clients write, read and delete through two
// gateways while providers are killed and frozen and gateways killed, one at a
// time, and checks what everybody saw. Then all is healed, and every provider
// must hold what a reader gets.
func TestHistoriesAreLinearizable(t *testing.T) {
	for i := range rounds(2, 100) {
		t.Run(fmt.Sprint("round ", i), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, uint64(i)))
			witnesses := r.IntN(2)
			t.Logf("seed %d, round %d, %d witnesses", seed, i, witnesses)
			storm(t, r, witnesses)
		})
	}
}

func storm(t *testing.T, r *rand.Rand, witnesses int) {
	providers := []*peer.Server{peer.Versity(t, peer.Options{}), peer.Versity(t, peer.Options{}), peer.Versity(t, peer.Options{})}
	var plain []*blob.Bucket
	for i, p := range providers {
		d := p.Open(t, "media")
		if i < len(providers)-witnesses {
			plain = append(plain, blob.New(sites[i], d))
		}
	}
	first := newGateway(t, providers, witnesses)
	first.awaitOpen()
	gateways := []*gateway{first, newGateway(t, providers, witnesses)}
	gateways[1].awaitOpen()

	keys := []string{"a", "dir/b", "dir/c d", "ü"}
	h := &history{}
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for c := range 6 {
		b, own := gateways[c%2].client(), rand.New(rand.NewPCG(r.Uint64(), 0))
		wg.Go(func() { worker(ctx, h, c, b, keys, own) })
	}
	trouble(r, providers, gateways, time.Now().Add(time.Duration(rounds(12, 20))*time.Second))
	stop()
	wg.Wait()
	for _, g := range gateways {
		g.awaitOpen()
	}
	finalReads(t, h, gateways[0].client(), keys)
	t.Logf("%d operations, %d failed", len(h.list), h.failed)
	if len(h.list) < 200 {
		t.Errorf("only %d operations: nothing is proven", len(h.list))
	}
	h.linearizable(t)
	heal(t, gateways[0])
	holdAll(t, gateways[0], plain, keys)
}

// trouble breaks one thing at a time until the deadline, and mends it.
func trouble(r *rand.Rand, providers []*peer.Server, gateways []*gateway, until time.Time) {
	pause := func(least, more int) { time.Sleep(time.Duration(least+r.IntN(more)) * time.Millisecond) }
	for time.Now().Before(until) {
		pause(300, 700)
		p := providers[r.IntN(len(providers))]
		switch r.IntN(5) {
		case 0, 1:
			p.Kill()
			pause(200, 3000)
			p.Start()
		case 2, 3:
			p.Freeze()
			pause(200, 4000)
			p.Thaw()
		default:
			g := gateways[r.IntN(len(gateways))]
			g.kill()
			pause(50, 500)
			g.start()
		}
	}
}

// finalReads adds a read of each key to the history, after all has ended.
func finalReads(t *testing.T, h *history, b *blob.Bucket, keys []string) {
	t.Helper()
	for _, k := range keys {
		o := operation{client: 100, key: k, call: time.Now()}
		if o.id, o.err = get(t.Context(), b, k); o.err != nil {
			t.Fatalf("read %q when all is well: %v", k, o.err)
		}
		o.end = time.Now()
		h.add(o)
	}
}

// heal repairs, until there is nothing more to do.
func heal(t *testing.T, g *gateway) {
	t.Helper()
	if out, err := g.spare("bucket", "repair", "media"); err != nil {
		t.Fatalf("repair: %v\n%s", err, out)
	}
	waitFor(t, "the bucket to be up", func() bool {
		b, ok := g.status()
		return ok && b.State == apiv1.BucketUp
	})
}

// holdAll wants every provider's plain keys to be what a reader gets.
func holdAll(t *testing.T, g *gateway, plain []*blob.Bucket, keys []string) {
	t.Helper()
	b := g.client()
	for _, k := range keys {
		want, err := get(t.Context(), b, k)
		if err != nil {
			t.Fatalf("read %q: %v", k, err)
		}
		for _, p := range plain {
			got, err := get(t.Context(), p, k)
			if errs.Is(err, errs.NotFound) {
				got, err = "", nil
			}
			if err != nil || got != want {
				t.Errorf("%s holds %q at %q, a reader gets %q (%v)", p.Name(), got, k, want, err)
			}
		}
	}
}
