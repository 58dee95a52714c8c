package faultblob

import (
	"context"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// mutates says whether a method changes the bucket.
func mutates(method string) bool {
	switch method {
	case "head", "get", "list", "list_parts", "list_uploads":
		return false
	}
	return true
}

// concerns says whether a kind of fault can do anything to a method.
func (k Kind) concerns(method string) bool {
	switch k {
	case Truncated, Stalled, Corrupt:
		return method == "get"
	case Late:
		return mutates(method)
	case Full:
		return mutates(method) && method != "delete" && method != "abort_upload"
	}
	return true
}

// meet gives the delays that a call meets, and the fault that decides about
// it, if any.
func (d *Driver) meet(method, key string) (delay time.Duration, decides Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, i := range d.faults {
		f := i.f
		switch {
		case !i.active() || !f.Kind.concerns(method),
			f.Kind != Latency && decides.Kind != "",
			len(f.Methods) > 0 && !slices.Contains(f.Methods, method),
			f.Keys != "" && !matches(f.Keys, key),
			f.Share > 0 && f.Share < 1 && f.Rand.Float64() >= f.Share:
			continue
		}
		i.hits++
		if f.Jitter > 0 {
			f.Delay += time.Duration(f.Rand.Int64N(int64(f.Jitter) + 1))
		}
		if f.Kind == Latency {
			delay += f.Delay
		} else {
			decides = f
		}
	}
	return delay, decides
}

// matches says whether key is pattern with any bytes for each "*".
func matches(pattern, key string) bool {
	first, rest, found := strings.Cut(pattern, "*")
	if !found {
		return pattern == key
	}
	key, ok := strings.CutPrefix(key, first)
	if !ok {
		return false
	}
	parts := strings.Split(rest, "*")
	last := parts[len(parts)-1]
	for _, part := range parts[:len(parts)-1] {
		_, after, ok := strings.Cut(key, part) // the earliest place leaves most for the rest
		if !ok {
			return false
		}
		key = after
	}
	return strings.HasSuffix(key, last)
}

// enter lets a call meet the faults. It gives the fault that the call has to
// play out itself, or the error that it ends with. body may be nil.
func (d *Driver) enter(ctx context.Context, method, key string, body io.Reader, size int64) (Fault, error) {
	delay, f := d.meet(method, key)
	if delay > 0 {
		if err := wait(ctx, nil, delay); err != nil {
			return f, unknown(method, errs.Wrap(errs.Unavailable, err, "wait for an answer"))
		}
	}
	switch f.Kind {
	case Down:
		return f, errs.E(errs.Unavailable, "nothing answers (injected)")
	case BlackHole:
		err := wait(ctx, nil, MaxAge)
		if err == nil {
			err = context.DeadlineExceeded
		}
		return f, unknown(method, errs.Wrap(errs.Unavailable, err, "wait for an answer that does not come (injected)"))
	case Denied:
		return f, errs.E(errs.Denied, "the credentials are refused (injected)")
	case NoBucket:
		return f, errs.Wrap(errs.Unavailable, blob.ErrNoBucket, "(injected)")
	case Skew:
		return f, errs.Wrap(errs.Denied, blob.ErrSkew, "(injected)")
	case Rollback:
		f.Restore()
	case Error, Full:
		if err := drain(ctx, body, size); err != nil {
			return f, err
		}
		if f.Kind == Full {
			return f, errs.Wrap(errs.Unavailable, blob.ErrFull, "(injected)")
		}
		return f, unknown(method, errs.E(errs.Unavailable, "the provider answers with an error (injected)"))
	}
	return f, nil
}

// unknown marks the error of a mutation whose outcome its caller cannot know.
func unknown(method string, err error) error {
	if mutates(method) {
		return errs.MaybeApplied(err)
	}
	return err
}

// drain reads a body to its end, as a provider does before it refuses.
func drain(ctx context.Context, body io.Reader, size int64) error {
	if body == nil {
		return nil
	}
	n, err := io.CopyN(io.Discard, body, size)
	if err == io.EOF { //nolint:errorlint // CopyN gives it bare; one in a chain is the body's own failure
		return errs.Wrap(errs.Invalid, blob.ErrShort, "%d bytes are missing", size-n)
	}
	if err == nil {
		err = ctx.Err()
	}
	return errs.Wrap(errs.KindOf(err), err, "read the body")
}

// wait returns after d, or with ctx's error, or when stop is closed.
func wait(ctx context.Context, stop <-chan struct{}, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-stop:
	case <-t.C:
	}
	return nil
}
