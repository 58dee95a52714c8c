package demo

import (
	"context"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/demo/depot"
	"github.com/sparecloud/spare/internal/demo/load"
	"github.com/sparecloud/spare/internal/demo/objectload"
	"github.com/sparecloud/spare/internal/demo/proof"
)

// inspect looks at every object that the ledger names: through Spare, and on
// the clouds' disks.
func (s *stage) inspect(ctx context.Context, a *proof.Archive) error {
	a.RequestsAfter = s.toProviders(ctx)
	a.Entries = s.things.Entries()
	if s.hooks.ledger != nil {
		a.Entries = s.hooks.ledger(a.Entries)
	}
	m := objectload.Replay(a.Entries)
	a.Final = append(s.readAll(ctx, m.Keys()), s.patient(ctx, func(c *objectload.Client) objectload.Entry { return c.List("") }))
	for _, e := range a.Final {
		m.Apply(e) // what was of unknown effect is known now
	}
	var err error
	a.Disks = map[string]map[string]string{}
	for _, c := range s.clouds {
		if a.Disks[c.name], err = held(ctx, depot.Folder(c.dir), m); err != nil {
			return err
		}
	}
	return nil
}

// readAll reads the objects through Spare.
func (s *stage) readAll(ctx context.Context, keys []string) []objectload.Entry {
	out := make([]objectload.Entry, len(keys))
	todo := make(chan int)
	var wg sync.WaitGroup
	for range askers {
		wg.Go(func() {
			for i := range todo {
				out[i] = s.patient(ctx, func(c *objectload.Client) objectload.Entry { return c.Get(keys[i]) })
			}
		})
	}
	for i := range keys {
		todo <- i
	}
	close(todo)
	wg.Wait()
	return out
}

// patient asks up to three times, because all is over and what counts is what
// is there. An answer that is wrong is taken as it is.
func (s *stage) patient(ctx context.Context, ask func(*objectload.Client) objectload.Entry) (e objectload.Entry) {
	c := objectload.NewClient(s.target())
	defer c.Close()
	for range 3 {
		if e = ask(c); e.Outcome == load.OK || pause(ctx, 200*time.Millisecond) != nil {
			break
		}
	}
	return e
}

// held gives, by key, the digest of the bytes that the model wants, where the
// cloud has them on its disk.
func held(ctx context.Context, f depot.Folder, m *objectload.Model) (map[string]string, error) {
	has := map[string]string{}
	for _, key := range m.Keys() {
		sum := m.Expect(key).SHA256
		if sum == "" || ctx.Err() != nil {
			continue
		}
		ok, err := f.Holds(key, sum)
		if err != nil {
			return nil, err
		}
		if ok {
			has[key] = sum
		}
	}
	return has, nil
}
