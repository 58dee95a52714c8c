package app

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/journal"
	"github.com/sparecloud/spare/internal/objects"
)

// replicaHold is how long a replica must work again before it counts as up: its
// breaker closes on the first success.
const replicaHold = 3 * time.Second

// notSaid is the reason for which nothing can be said of a bucket.
const notSaid = "no data process has said how it stands"

// buckets turns what data processes say of buckets into verdicts about their
// replicas, with entries in the journal. It takes the word of the data process
// that spoke last: each sees the providers for itself, and they end one by one.
type buckets struct {
	record  *recorder
	verdict func(health.Verdict, health.State)

	mu     sync.Mutex
	latest map[estate.BucketID]health.Bucket
	judged map[estate.Target]*judged
}

// judged is what is held of one replica.
type judged struct {
	down bool
	well time.Time // since when a down replica works again
	said bool
}

func newBuckets(record *recorder, verdict func(health.Verdict, health.State)) *buckets {
	return &buckets{record: record, verdict: verdict, latest: map[estate.BucketID]health.Bucket{}, judged: map[estate.Target]*judged{}}
}

// set forgets buckets that are gone from the estate.
func (b *buckets) set(e *estate.Estate) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for id := range b.latest {
		if _, ok := e.Bucket(id); !ok {
			delete(b.latest, id)
		}
	}
	for t := range b.judged {
		id, _ := t.Service.Bucket()
		if bucket, ok := e.Bucket(id); ok {
			if _, ok = bucket.Replica(t.Site); ok {
				continue
			}
		}
		delete(b.judged, t)
	}
}

// reported takes a data process's report.
func (b *buckets) reported(_ string, at time.Time, list []health.Bucket) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range list {
		before, known := b.latest[s.Bucket]
		b.latest[s.Bucket] = s
		if s.Reason != "" {
			if !known || before.Reason != s.Reason {
				b.note(journal.Error, s.Bucket, "", "is not open: "+s.Reason)
			}
			continue
		}
		b.serves(before, s, known)
		for _, r := range s.Replicas {
			b.judge(s.Bucket, r, at)
		}
	}
}

// serves notes that a bucket began or ceased to take writes, or to answer.
func (b *buckets) serves(before, now health.Bucket, known bool) {
	switch {
	case known && before.Reason == "" && before.Reads == now.Reads && before.Writes == now.Writes:
	case !now.Reads:
		b.note(journal.Error, now.Bucket, "", "neither reads nor writes: no majority of its replicas answers")
	case !now.Writes:
		b.note(journal.Error, now.Bucket, "", "reads, and takes no writes: too few of its replicas take objects")
	case known || before.Reason != "":
		b.note(journal.Info, now.Bucket, "", "reads and takes writes")
	}
}

func (b *buckets) judge(id estate.BucketID, r health.Replica, at time.Time) {
	t := estate.BucketTarget(id, r.Site)
	j := b.judged[t]
	if j == nil {
		j = &judged{}
		b.judged[t] = j
	}
	v := health.Verdict{Target: t, Since: at.UTC()}
	switch works := r.Works(); {
	case !works:
		j.well = time.Time{}
		if j.down {
			return
		}
		j.down, v.State, v.Cause, v.Evidence = true, health.Down, causeOf(r), evidenceOf(r)
		if !r.Since.IsZero() {
			v.Since = r.Since
		}
		b.note(journal.Error, id, r.Site, "down: "+v.Evidence)
	case j.down:
		if j.well.IsZero() {
			j.well = at
		}
		if at.Sub(j.well) < replicaHold {
			return
		}
		j.down, v.State, v.Evidence = false, health.Up, "its requests are answered again"
		b.note(journal.Info, id, r.Site, "up: "+v.Evidence+behind(r))
	case !j.said:
		v.State = health.Up
	default:
		return
	}
	j.said = true
	b.verdict(v, health.Unknown)
}

func behind(r health.Replica) string {
	if r.Behind == 0 {
		return ""
	}
	return fmt.Sprintf("; %d keys to catch up on", r.Behind)
}

// evidenceOf says in a line what is wrong with a replica.
func evidenceOf(r health.Replica) string {
	switch {
	case r.Lost:
		return "it lost what it held; it is not counted until it is repaired"
	case !r.Heads:
		return cmp.Or(r.Reason, "its records do not answer")
	default:
		return cmp.Or(r.Reason, "it takes no objects")
	}
}

// causeOf gives the cause in the words that checks use, as far as the reason
// tells.
func causeOf(r health.Replica) health.Cause {
	for _, c := range []struct {
		text  string
		cause health.Cause
	}{
		{"connection refused", health.CauseRefused}, {"no such host", health.CauseDNS}, {"certificate", health.CauseTLS},
		{"connection reset", health.CauseReset}, {"EOF", health.CauseReset}, {"deadline exceeded", health.CauseTimeout}, {"timeout", health.CauseTimeout},
	} {
		if strings.Contains(r.Reason, c.text) {
			return c.cause
		}
	}
	return health.CauseStatus
}

func (b *buckets) note(level journal.Level, id estate.BucketID, site estate.SiteID, text string) {
	what := fmt.Sprintf("bucket %s", id)
	if site != "" {
		what += " at " + string(site)
	}
	data, _ := json.Marshal(map[string]any{"bucket": id})
	b.record.add(journal.Entry{Kind: journal.KindVerdict, Level: level, Service: estate.BucketTarget(id, site).Service, Site: site, Data: data, Message: what + " " + text})
}

// list gives how the estate's buckets stand, in the order of the file.
func (b *buckets) list(e *estate.Estate) []health.Bucket {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]health.Bucket, 0, len(e.Buckets))
	for _, d := range e.Buckets {
		s, ok := b.latest[d.ID]
		if !ok {
			s = health.Bucket{Bucket: d.ID, Reason: notSaid}
		}
		out = append(out, s)
	}
	return out
}

// said gives the buckets of which a data process has said how they stand.
func (b *buckets) said(e *estate.Estate) []health.Bucket {
	return slices.DeleteFunc(b.list(e), func(s health.Bucket) bool { return s.Reason == notSaid })
}

// bucketWait bounds how long a reload waits for the replicas' own word.
const bucketWait = 5 * time.Second

// checkBuckets refuses an estate that declares other replicas than the buckets
// themselves know of. before is the estate in force, or nil.
func (c *control) checkBuckets(ctx context.Context, e, before *estate.Estate) error {
	ctx, cancel := context.WithTimeout(ctx, bucketWait)
	defer cancel()
	var all []error
	for _, b := range e.Buckets {
		if before != nil {
			if old, ok := before.Bucket(b.ID); ok && reflect.DeepEqual(*old, b) {
				continue
			}
		}
		err := objects.Check(ctx, b, Connect(c.opt.Log), c.opt.Log)
		if errs.Is(err, errs.Conflict) || errs.Is(err, errs.Invalid) {
			all = append(all, err)
		}
	}
	slices.SortFunc(all, func(x, y error) int { return cmp.Compare(x.Error(), y.Error()) })
	return errors.Join(all...)
}
