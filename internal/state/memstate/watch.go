package memstate

import (
	"context"
	"slices"
	"strings"

	"github.com/sparecloud/spare/internal/state"
)

// Watch implements [state.Store]. A watcher reads the log of changes at its
// own pace, and is closed when the log no longer reaches back to it.
func (s *Store) Watch(ctx context.Context, prefix string, from state.Revision) (<-chan state.KV, error) {
	if err := s.begin(ctx); err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	out := make(chan state.KV)
	if from < s.lost || from > s.revision {
		close(out)
		return out, nil
	}
	next, _ := slices.BinarySearchFunc(s.log, from+1, func(kv state.KV, rev state.Revision) int {
		return int(kv.Revision) - int(rev)
	})
	next += s.dropped
	s.watches.Go(func() {
		defer close(out)
		s.follow(ctx, out, prefix, next)
	})
	return out, nil
}

// follow sends the changes from number next on.
func (s *Store) follow(ctx context.Context, out chan<- state.KV, prefix string, next int) {
	for {
		s.mu.Lock()
		if next < s.dropped {
			s.mu.Unlock()
			return
		}
		batch := slices.Clone(s.log[next-s.dropped:])
		changed := s.changed
		s.mu.Unlock()
		next += len(batch)
		for _, kv := range batch {
			if !strings.HasPrefix(kv.Key, prefix) {
				continue
			}
			select {
			case out <- clone(kv):
			case <-ctx.Done():
				return
			case <-s.closing:
				return
			}
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		case <-s.closing:
			return
		}
	}
}
