package qualify

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/run"
)

// basics writes one object, reads it back and removes it.
func (p *probe) basics(ctx context.Context) (string, error) {
	key, data := p.fresh("basic"), unlike(small)
	obj, err := p.put(ctx, key, data, blob.PutOptions{})
	if err != nil {
		return "", err
	}
	got, found, err := p.await(ctx, key, len(data))
	switch {
	case errs.Is(err, errs.NotFound):
		return "", wrong("an object that was written does not appear")
	case err != nil:
		return "", err
	case !bytes.Equal(got, data):
		return "", wrong("an object was read back with other bytes")
	case found.ETag != obj.ETag:
		return "", wrong("the write has given ETag %q and the read %q", obj.ETag, found.ETag)
	}
	if err := p.b.Delete(ctx, key, blob.DeleteOptions{}); err != nil {
		return "", err
	}
	return fmt.Sprintf("%d bytes came back", len(data)), nil
}

// await reads an object that may take its time to appear: whether it may is
// another check's question.
func (p *probe) await(ctx context.Context, key string, most int) ([]byte, blob.Object, error) {
	wait := run.Backoff{Min: 50 * time.Millisecond, Max: 2 * time.Second}
	for range 8 {
		got, obj, err := p.get(ctx, key, blob.GetOptions{}, most)
		if !errs.Is(err, errs.NotFound) {
			return got, obj, err
		}
		if err := run.Sleep(ctx, wait.Next()); err != nil {
			return nil, blob.Object{}, err
		}
	}
	return p.get(ctx, key, blob.GetOptions{}, most)
}

// ranges reads parts of an object: its middle, its end and its last bytes.
func (p *probe) ranges(ctx context.Context) (string, error) {
	key, data := p.fresh("range"), unlike(1000)
	if _, err := p.put(ctx, key, data, blob.PutOptions{}); err != nil {
		return "", err
	}
	for _, r := range []blob.Range{{Offset: 100, Length: 50}, {Offset: 990, Length: -1}, {Offset: -7, Length: -1}} {
		got, _, err := p.get(ctx, key, blob.GetOptions{Range: &r}, len(data))
		if err != nil {
			return "", err
		}
		offset, length, _ := r.Resolve(int64(len(data)))
		if !bytes.Equal(got, data[offset:offset+length]) {
			return "", wrong("%d bytes from %d on were asked for and others came", length, offset)
		}
	}
	return "the bytes asked for came", nil
}

// rounds writes, reads, lists and deletes, each at once after the other, and
// takes the time of the small writes and reads.
func (p *probe) rounds(ctx context.Context) (string, error) {
	var puts, gets []time.Duration
	for range p.o.Rounds {
		put, get, err := p.round(ctx)
		if err != nil {
			return "", err
		}
		puts, gets = append(puts, put), append(gets, get)
	}
	p.report.PutP50, p.report.GetP50 = median(puts), median(gets)
	return fmt.Sprintf("%d times what was written was read and listed, and what was deleted was not", p.o.Rounds), nil
}

func (p *probe) round(ctx context.Context) (put, get time.Duration, err error) {
	key := p.fresh("round")
	for i, what := range []string{"written", "overwritten"} {
		data := unlike(small)
		start := time.Now()
		if _, err := p.put(ctx, key, data, blob.PutOptions{}); err != nil {
			return 0, 0, err
		}
		put = time.Since(start)
		start = time.Now()
		same, err := p.holds(ctx, key, data)
		get = time.Since(start)
		if err != nil {
			return 0, 0, err
		}
		if !same {
			return 0, 0, wrong("an object that had just been %s was read as it was before", what)
		}
		if i > 0 {
			continue
		}
		if there, err := p.listed(ctx, key); err != nil || !there {
			return 0, 0, orFault(err, "an object that had just been written was not listed")
		}
	}
	if err := p.b.Delete(ctx, key, blob.DeleteOptions{}); err != nil {
		return 0, 0, err
	}
	if _, err := p.b.Head(ctx, key); !errs.Is(err, errs.NotFound) {
		return 0, 0, orFault(err, "an object that had just been deleted was still there")
	}
	if _, _, err := p.get(ctx, key, blob.GetOptions{}, small); !errs.Is(err, errs.NotFound) {
		return 0, 0, orFault(err, "an object that had just been deleted could still be read")
	}
	if there, err := p.listed(ctx, key); err != nil || there {
		return 0, 0, orFault(err, "an object that had just been deleted was still listed")
	}
	return put, get, nil
}

// orFault gives err, or else the fault.
func orFault(err error, what string) error {
	if err != nil {
		return err
	}
	return wrong("%s", what)
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
