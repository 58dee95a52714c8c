package replica

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/run"
)

// uploadPrefix is where the markers of uploads are in a member's head bucket:
// u/<key>/<op>.
const uploadPrefix = "u/"

func markerKey(key, op string) string { return uploadPrefix + key + "/" + op }

// marker is the record of a multipart upload. Each member's copy is written
// once as open, and changed once, by compare-and-swap: pinned or aborted. So of
// a Complete and an Abort that meet at most one gets a majority.
type marker struct {
	Key     string            `json:"key"`
	Op      string            `json:"op"`
	ID      string            `json:"id"` // what the client knows the upload by
	Started time.Time         `json:"started"`
	Header  blob.Header       `json:"hdr,omitzero"`
	Meta    map[string]string `json:"meta,omitempty"`
	State   markState         `json:"state"`
	Changed time.Time         `json:"changed"` // when it came to that state
	// Head is what a Complete is about to write, or has written. Its stamp is
	// fixed here, before any register holds it, so that a Complete that is
	// repeated writes the same once more, and never a second time over what came
	// in between.
	Head *head `json:"head,omitempty"`
	// First is when the first member had the whole body. After half of Grace
	// from then on the staged body may be swept, and Head not be written any more.
	First time.Time `json:"first,omitzero"`
}

type markState string

const (
	markOpen    markState = "open"
	markPinned  markState = "pinned"
	markAborted markState = "aborted"
)

// maxMarker bounds a marker, in bytes: a head, headers and metadata, an id.
const maxMarker = maxHead + maxHeaders + maxToken + 2<<10

// markReading is what a member holds of a marker.
type markReading struct {
	m      *member
	marker *marker // nil: there is definitely none
	tag    string
	err    error // not known
}

func (b *Bucket) readMarker(ctx context.Context, m *member, key, op string) markReading {
	switch {
	case m.amnesic.Load():
		return markReading{m: m, err: errAmnesic}
	case !m.head.ready():
		return markReading{m: m, err: errSkipped}
	}
	ctx, cancel := context.WithTimeout(ctx, b.o.Timing.Attempt)
	defer cancel()
	began := time.Now()
	data, tag, err := load(ctx, m.Heads, markerKey(key, op), maxMarker)
	if m.amnesic.Load() {
		return markReading{m: m, err: errAmnesic} // found out meanwhile: it may have been asked after its loss
	}
	if errs.Is(err, errs.NotFound) {
		m.head.note(ctx, nil, time.Since(began))
		return markReading{m: m}
	}
	k := new(marker)
	if err == nil && (json.Unmarshal(data, k) != nil || k.Key != key || k.Op != op) {
		err = errs.Wrap(errs.Unavailable, blob.ErrSuspect, "%s: the record of an upload of %q cannot be read", m.ID, key)
	}
	m.head.note(ctx, err, time.Since(began))
	if err != nil {
		return markReading{m: m, err: err}
	}
	return markReading{m: m, marker: k, tag: tag}
}

// marks is what members hold of a marker.
type marks []markReading // by member

// readMarks returns once a majority has given definite answers; what had not
// come by then carries errSkipped.
func (b *Bucket) readMarks(ctx context.Context, key, op string) (marks, error) {
	ctx, cancel := context.WithTimeout(ctx, b.o.Timing.Quorum)
	defer cancel()
	answers := make(chan markReading, len(b.members))
	all := make(marks, len(b.members))
	for i, m := range b.members {
		all[i] = markReading{m: m, err: errSkipped}
		b.wgGo(func() { answers <- b.readMarker(ctx, m, key, op) })
	}
	var failed []error
	for definite := 0; definite < b.majority(); {
		a := <-answers
		all[a.m.index] = a
		if a.err == nil {
			definite++
			continue
		}
		if failed = append(failed, a.err); len(failed) > len(b.members)-b.majority() {
			return nil, b.noMajority("asked for an upload", failed)
		}
	}
	return all, nil
}

// in counts the members whose marker is in the state, and gives one of them:
// of pinned ones that with the highest stamp.
func (k marks) in(s markState) (n int, one *marker) {
	for _, a := range k {
		if a.err != nil || a.marker == nil || a.marker.State != s {
			continue
		}
		if n++; one == nil || one.Head != nil && a.marker.Head.newer(one.Head) {
			one = a.marker
		}
	}
	return n, one
}

// any gives the marker of any member, or nil.
func (k marks) any() *marker {
	for _, s := range []markState{markPinned, markOpen, markAborted} {
		if _, one := k.in(s); one != nil {
			return one
		}
	}
	return nil
}

// mark changes the members' markers to want where they are open, or absent.
// It returns what they hold then, as soon as a majority holds want's state, or
// when all have been tried; it goes on with the others. ok: a majority does.
func (b *Bucket) mark(ctx context.Context, from marks, want *marker) (now marks, ok bool, err error) {
	data, err := json.Marshal(want)
	if err == nil && len(data) > maxMarker {
		err = errs.E(errs.Invalid, "the record has %d bytes, at most %d are allowed: shorten the metadata or the headers", len(data), maxMarker)
	}
	if err != nil {
		return nil, false, errs.Wrap(errs.KindOf(err), err, "encode the record of an upload")
	}
	own, cancel := b.own(ctx, b.o.Timing.Quorum)
	answers := make(chan markReading, len(b.members))
	for _, r := range from {
		b.wgGo(func() { answers <- b.markAt(own, r, want, data) })
	}
	now = make(marks, len(b.members))
	for i, m := range b.members {
		now[i] = markReading{m: m, err: errSkipped}
	}
	left := len(b.members)
	for ; left > 0; left-- {
		if n, _ := now.in(want.State); n >= b.majority() {
			break
		}
		a := <-answers
		now[a.m.index] = a
	}
	b.wgGo(func() {
		defer cancel()
		for range left {
			<-answers
		}
	})
	n, _ := now.in(want.State)
	return now, n >= b.majority(), nil
}

// failures lists why members' markers are not known.
func (k marks) failures() (failed []error) {
	for _, a := range k {
		if a.err != nil {
			failed = append(failed, a.err)
		}
	}
	return failed
}

// markAt changes one member's marker, and gives what it holds then.
func (b *Bucket) markAt(ctx context.Context, from markReading, want *marker, data []byte) markReading {
	backoff := run.Backoff{Min: 20 * time.Millisecond, Max: time.Second}
	for tries := 0; ; tries++ {
		if from.err != nil {
			from = b.readMarker(ctx, from.m, want.Key, want.Op)
		}
		if from.err == nil {
			if from.marker != nil && (from.marker.State == want.State || from.marker.State != markOpen) {
				return from
			}
			err := b.swapMarker(ctx, from, want, data)
			if err == nil {
				return markReading{m: from.m, marker: want}
			}
			lost := errs.Is(err, errs.Conflict) || errs.Is(err, errs.NotFound)
			from = markReading{m: from.m, err: err}
			if lost && tries < 4 {
				continue
			}
		}
		if !worthRepeating(from.err) || tries >= 4 || !from.m.head.up() || run.Sleep(ctx, backoff.Next()) != nil {
			return from
		}
	}
}

func (b *Bucket) swapMarker(ctx context.Context, from markReading, want *marker, data []byte) error {
	ctx, cancel := context.WithTimeout(ctx, b.o.Timing.Attempt)
	defer cancel()
	began := time.Now()
	_, err := from.m.Heads.Put(ctx, markerKey(want.Key, want.Op), bytes.NewReader(data), int64(len(data)), blob.PutOptions{
		Header: blob.Header{Type: "application/json"}, If: blob.Condition{Match: from.tag, Absent: from.tag == ""},
	})
	from.m.head.note(ctx, err, time.Since(began))
	return err
}

// dropMarks deletes the markers of an upload at all members, and says whether
// that went well everywhere. It must not be needed any more.
func (b *Bucket) dropMarks(ctx context.Context, key, op string) error {
	var last error
	for _, m := range b.members {
		ctx, cancel := context.WithTimeout(ctx, b.o.Timing.Attempt)
		err := m.Heads.Delete(ctx, markerKey(key, op), blob.DeleteOptions{})
		cancel()
		if err != nil && !errs.Is(err, errs.NotFound) {
			last = err
		}
	}
	return last
}
