// Package objects is the S3 side of the data process: from an estate to buckets
// that are open and served.
//
// [Objects] opens every declared bucket over its replicas, keeps it in the
// background, and serves all of them by package s3api. It needs no control
// plane. A bucket that cannot be opened yet, because too few replicas answer,
// is tried again and answers 503 meanwhile; one whose declaration is not what
// its own replicas know is not opened.
//
//	obj := objects.New(objects.Options{Log: log, Connect: connect})
//	obj.Apply(e)
//	err := obj.Serve(ctx, ln)
package objects

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"reflect"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/blob/replica"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/s3api"
)

// Connect makes the member that a replica declares: its drivers, open.
type Connect func(r estate.Replica) (replica.Member, error)

// Options are what Objects need. All are required.
type Options struct {
	Log     *slog.Logger
	Connect Connect
}

// Objects are the buckets of one data process.
type Objects struct {
	o   Options
	api *s3api.Server

	mu    sync.Mutex
	by    map[estate.BucketID]*keeper
	order []estate.BucketID
	table s3api.Table // what is served, without its buckets
	done  bool
	wg    sync.WaitGroup
}

// New gives Objects that serve nothing yet.
func New(o Options) *Objects {
	return &Objects{o: o, api: s3api.New(s3api.Options{Log: o.Log}), by: map[estate.BucketID]*keeper{}}
}

// Apply puts the estate's buckets and credentials in force. Buckets that are
// declared as before stay as they are; others are opened in the background.
func (o *Objects) Apply(e *estate.Estate) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.done {
		return
	}
	next := map[estate.BucketID]*keeper{}
	o.order = nil
	for _, b := range e.Buckets {
		o.order = append(o.order, b.ID)
		if k, ok := o.by[b.ID]; ok && reflect.DeepEqual(k.spec, b) {
			next[b.ID] = k
			continue
		}
		next[b.ID] = o.keep(b)
	}
	for id, k := range o.by {
		if next[id] != k {
			k.end()
		}
	}
	o.by = next
	o.table = s3api.Table{Domain: e.Listen.S3Domain}
	for _, c := range e.Credentials {
		v := s3api.Credential{AccessKey: c.AccessKey, SecretKey: c.SecretKey, Rights: s3api.Rights(c.Rights)}
		for _, id := range c.Buckets {
			v.Buckets = append(v.Buckets, string(id))
		}
		o.table.Credentials = append(o.table.Credentials, v)
	}
	o.publish()
}

// publish serves the buckets as they stand. o.mu is held.
func (o *Objects) publish() {
	table := o.table
	table.Buckets, table.Closed = map[string]s3api.Store{}, map[string]error{}
	for id, k := range o.by {
		if s := k.now.Load(); s.b != nil {
			table.Buckets[string(id)] = s.b
		} else {
			table.Closed[string(id)] = s.err
		}
	}
	o.api.Swap(&table)
}

// keep starts to keep a bucket. o.mu is held.
func (o *Objects) keep(b estate.Bucket) *keeper {
	ctx, cancel := context.WithCancel(context.Background())
	k := &keeper{spec: b, log: o.o.Log.With("bucket", b.ID), connect: o.o.Connect, cancel: cancel, changed: func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.publish()
	}}
	k.fail(errs.E(errs.Unavailable, "bucket %s is not open yet", b.ID))
	o.wg.Go(func() { k.run(ctx) })
	return k
}

// Limits of a connection; a request's body takes as long as it moves.
const (
	readHeadWait = 30 * time.Second
	idleWait     = 2 * time.Minute
	drainWait    = 30 * time.Second
	maxHead      = 64 << 10
)

// Serve accepts on ln until ctx ends; it closes ln then, at once, serves what
// is under way and returns when that is done, in 30 s at most.
func (o *Objects) Serve(ctx context.Context, ln net.Listener) error {
	return ServeHTTP(ctx, ln, o.api, o.o.Log)
}

// ServeHTTP serves an S3 API as [Objects.Serve] does.
func ServeHTTP(ctx context.Context, ln net.Listener, api http.Handler, log *slog.Logger) error {
	srv := &http.Server{
		Handler: api, ReadHeaderTimeout: readHeadWait, IdleTimeout: idleWait, MaxHeaderBytes: maxHead,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ln) }()
	select {
	case err := <-ended:
		return errs.Wrap(errs.Internal, err, "serve S3")
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainWait)
	defer cancel()
	err := srv.Shutdown(drain)
	if errors.Is(err, context.DeadlineExceeded) {
		err = srv.Close()
	}
	if serr := <-ended; err == nil && !errors.Is(serr, http.ErrServerClosed) {
		err = serr
	}
	return errs.Wrap(errs.Internal, err, "stop serving S3")
}

// States gives how each bucket stands, in the order of the file.
func (o *Objects) States() []health.Bucket {
	o.mu.Lock()
	defer o.mu.Unlock()
	list := make([]health.Bucket, 0, len(o.order))
	for _, id := range o.order {
		list = append(list, o.by[id].state())
	}
	return list
}

// Close closes all buckets. Requests must have ended.
func (o *Objects) Close() error {
	o.mu.Lock()
	o.done = true
	for _, k := range o.by {
		k.end()
	}
	o.mu.Unlock()
	o.wg.Wait()
	return nil
}
