package journal

import "context"

// followPage is how many entries a follower holds in memory.
const followPage = 100

// Subscribe sends the entries after ID after, in order and without a hole: the
// ones that are there first, then each as it is written. After 0 begins with
// the oldest that there is. A follower reads at its own pace and costs the
// appenders nothing.
//
// The channel is closed when ctx ends, when the journal is closed or cannot be
// read, and when the next entry is gone: the follower was too slow, or after
// is an ID of long ago or one that was never given. Then Query, and subscribe
// again from there.
func (j *Journal) Subscribe(ctx context.Context, after int64) <-chan Entry {
	out := make(chan Entry)
	j.mu.RLock()
	defer j.mu.RUnlock()
	if j.closed || after < 0 {
		close(out)
		return out
	}
	j.followers.Go(func() {
		defer close(out)
		j.follow(ctx, out, after)
	})
	return out
}

func (j *Journal) follow(ctx context.Context, out chan<- Entry, after int64) {
	// Not j.last: an entry can be seen on disk a moment before that counts it.
	last, err := j.readLast(ctx)
	for err == nil && after <= last {
		changed := j.db.Changed()
		var page Page
		page, err = j.Query(ctx, Query{After: after, Oldest: true, Limit: followPage})
		for _, e := range page.Entries {
			if after > 0 && e.ID != after+1 {
				return
			}
			select {
			case out <- e:
				after, last = e.ID, max(last, e.ID)
			case <-ctx.Done():
				return
			case <-j.closing:
				return
			}
		}
		if page.More || err != nil {
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		case <-j.closing:
			return
		}
	}
	if err != nil && ctx.Err() == nil {
		j.opts.Log.Error("journal follower ended", "after", after, "error", err)
	}
}
