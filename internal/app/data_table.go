package app

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/durable"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/route"
	"github.com/sparecloud/spare/internal/run"
)

// tableFile keeps the last table on disk. Saving happens in the background and
// only the latest table counts: a slow or full disk holds up nobody.
type tableFile struct {
	path string
	log  *slog.Logger
	wake chan struct{}

	mu      sync.Mutex
	pending *route.Table // nil when all is saved
}

func newTableFile(path string, log *slog.Logger) *tableFile {
	return &tableFile{path: path, log: log, wake: make(chan struct{}, 1)}
}

// load gives the table on disk and, if that is the generation before, why.
func (f *tableFile) load() (t *route.Table, fallback, err error) {
	l, err := durable.Load(f.path)
	if err != nil {
		return nil, nil, err
	}
	t = new(route.Table)
	if err := json.Unmarshal(l.Payload, t); err != nil {
		return nil, nil, errs.Wrap(errs.Invalid, err, "read table %s", f.path)
	}
	return t, l.Fallback, nil
}

// save makes t the table to be saved.
func (f *tableFile) save(t *route.Table) {
	f.mu.Lock()
	f.pending = t
	f.mu.Unlock()
	f.poke()
}

func (f *tableFile) poke() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// run saves until ctx ends, and then what is left.
func (f *tableFile) run(ctx context.Context) error {
	pause := run.Backoff{Min: time.Second, Max: time.Minute, Jitter: 0.2}
	for {
		select {
		case <-ctx.Done():
			if err := f.flush(); err != nil {
				f.log.Error("last table not saved", "err", err)
			}
			return nil
		case <-f.wake:
		}
		err := f.flush()
		if err == nil {
			pause.Reset()
			continue
		}
		f.log.Error("table not saved, trying again; it is served all the same", "err", err)
		_ = run.Sleep(ctx, pause.Next()) // the end of ctx shows above
		f.poke()
	}
}

// flush saves what is pending, unless a newer table is on disk already: in a
// hand-over two data processes write the same file.
func (f *tableFile) flush() error {
	f.mu.Lock()
	t := f.pending
	f.mu.Unlock()
	if t == nil {
		return nil
	}
	if there, _, err := f.load(); err != nil || there.Epoch <= t.Epoch {
		doc, err := json.Marshal(t)
		if err != nil {
			return errs.Wrap(errs.Internal, err, "encode %s", t)
		}
		if err := durable.Save(f.path, doc); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.pending == t {
		f.pending = nil
	}
	return nil
}
