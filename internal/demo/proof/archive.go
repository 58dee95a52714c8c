package proof

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/sparecloud/spare/internal/demo/load"
	"github.com/sparecloud/spare/internal/demo/objectload"
)

// archive replays the ledger of objects, and reconciles it with what Spare
// gives and what is on the clouds' disks when all is over.
func (j *judge) archive() {
	o, a := &j.r.Objects, &j.Archive
	m := objectload.NewModel()
	back := map[string]bool{} // keys that showed and should not have
	var stale *objectload.Entry
	for i, e := range a.Entries {
		for _, w := range m.Apply(e) {
			if w.Fault == objectload.Resurrected {
				back[w.Key] = true
				continue
			}
			o.StaleReads++
			if stale == nil {
				stale = &a.Entries[i]
			}
		}
	}
	end := j.ending(m, back)
	j.operations()
	for _, key := range m.Keys() {
		switch is := m.Expect(key); {
		case is.SHA256 != "":
			j.object(key, is.SHA256, end)
		case is.Deleted:
			o.Deleted++
			if !end.read[key] && !back[key] {
				j.broken("nobody can say whether the deleted object %s is gone: %s", key, cmp.Or(end.said[key], "nobody asked"))
			}
		}
	}
	o.Resurrected = len(back)
	j.receipts()
	if stale != nil {
		j.broken("%d reads missed an acknowledged write, the first of them: %s", o.StaleReads, told(*stale))
	}
	if o.Resurrected > 0 {
		j.broken("%d objects showed that were deleted, or never acknowledged: %s", o.Resurrected, first(back))
	}
	if o.Missing > 0 {
		j.broken("%d acknowledged objects are missing", o.Missing)
	}
	if o.Acknowledged == 0 || o.Deleted == 0 {
		j.broken("%d objects were kept and %d deleted: that proves nothing", o.Acknowledged, o.Deleted)
	}
	if o.ProviderRequests = a.RequestsAfter - a.RequestsBefore; a.RequestsAfter <= a.RequestsBefore {
		o.ProviderRequests = 0
		j.broken("Spare did not say how many requests it sent to the clouds' buckets")
	}
}

// ending is what the last looks through Spare gave, by key.
type ending struct {
	read     map[string]bool   // as it must be
	said     map[string]string // otherwise
	unlisted map[string]bool   // is there and was not in the list
	listed   bool              // there was a list
}

// ending takes in the last looks.
func (j *judge) ending(m *objectload.Model, back map[string]bool) ending {
	end := ending{read: map[string]bool{}, said: map[string]string{}, unlisted: map[string]bool{}}
	for _, e := range j.Archive.Final {
		wrong := m.Apply(e)
		end.listed = end.listed || e.Op == objectload.List && e.Outcome == load.OK
		for _, w := range wrong {
			switch {
			case w.Fault == objectload.Resurrected:
				back[w.Key] = true
			case e.Op == objectload.List:
				end.unlisted[w.Key] = true
			}
		}
		if e.Op == objectload.Get {
			end.read[e.Key] = e.Outcome == load.OK && len(wrong) == 0
			end.said[e.Key] = came(e)
		}
	}
	if !end.listed {
		j.broken("the bucket could not be listed when all was over")
	}
	return end
}

// object judges one that must be there.
func (j *judge) object(key, sum string, end ending) {
	o := &j.r.Objects
	o.Acknowledged++
	if strings.HasPrefix(key, objectload.ReceiptPrefix) {
		o.Receipts++
	}
	copies := 0
	for _, has := range j.Archive.Disks {
		if has[key] == sum {
			copies++
		}
	}
	if copies >= 2 && end.read[key] && !end.unlisted[key] {
		o.Readable++
		return
	}
	if o.Missing++; o.Missing == 1 {
		said, listed := "gives it", "lists it"
		if !end.read[key] {
			said = "says: " + cmp.Or(end.said[key], "nobody asked")
		}
		if end.unlisted[key] {
			listed = "does not list it"
		}
		j.broken("acknowledged object %s is on disk at %d clouds, Spare %s and %s", key, copies, said, listed)
	}
}

// operations sums up the ledger of objects.
func (j *judge) operations() {
	o := &j.r.Objects
	o.Operations = len(j.Archive.Entries)
	var ms []float64
	var failed *objectload.Entry
	own := 0
	for i, e := range j.Archive.Entries {
		switch e.Outcome {
		case load.OK:
		case load.MaybeApplied:
			o.MaybeApplied++
		default:
			if o.Failed++; failed == nil {
				failed = &j.Archive.Entries[i]
			}
		}
		if !strings.HasPrefix(e.Key, objectload.ReceiptPrefix) {
			own++
		}
		ms = append(ms, e.MS)
		o.LongestMS = max(o.LongestMS, e.MS)
	}
	o.P50MS, o.P99MS = load.Quantile(ms, 0.50), load.Quantile(ms, 0.99)
	if failed != nil {
		j.broken("%d operations on objects failed, the first of them: %s", o.Failed, told(*failed))
	}
	if want := int(0.9 * float64(j.Archive.Rate) * j.LoadEnded.Sub(j.LoadBegan).Seconds()); own < want || want == 0 {
		j.broken("only %d operations on objects were done, of %d", own, want)
	}
}

// receipts makes sure that every acknowledged order was archived.
func (j *judge) receipts() {
	put := map[string]bool{}
	for _, e := range j.Archive.Entries {
		if e.Op == objectload.Put {
			put[e.Key] = true
		}
	}
	lacking := map[string]bool{}
	for _, e := range j.Entries {
		if e.Kind == load.KindOrder && e.Outcome == load.OK && !put[objectload.ReceiptPrefix+e.ID] {
			lacking[e.ID] = true
		}
	}
	if len(lacking) > 0 {
		j.broken("%d acknowledged orders have no receipt in the archive: %s", len(lacking), first(lacking))
	}
}

// objectsDuring counts what was done with objects while the fault lasted.
func (j *judge) objectsDuring(f *Fault) {
	f.Proof.Written, f.Proof.Read = 0, 0
	for _, e := range j.Archive.Entries {
		if e.Outcome != load.OK || f.Sure.IsZero() || e.Began.Before(f.Sure) || !e.Done().Before(f.Until) {
			continue
		}
		switch {
		case e.Op == objectload.Put:
			f.Proof.Written++
		case e.Op == objectload.Get && !e.Absent:
			f.Proof.Read++
		}
	}
}

func told(e objectload.Entry) string {
	return fmt.Sprintf("%s %s at %s: %s", e.Op, e.Key, e.Began.UTC().Format("15:04:05.000"), came(e))
}

// came says what came of a read or another operation.
func came(e objectload.Entry) string {
	switch {
	case e.Outcome != load.OK:
		return fmt.Sprintf("status %d, %s", e.Status, e.Error)
	case e.Absent:
		return "there is no such object"
	case e.Op == objectload.List:
		return fmt.Sprintf("%d keys", len(e.Listed))
	default:
		return fmt.Sprintf("%d bytes with SHA-256 %.12s", e.Size, e.SHA256)
	}
}

// first gives the first of the keys.
func first(keys map[string]bool) string {
	least := ""
	for k := range keys {
		if least == "" || k < least {
			least = k
		}
	}
	return least
}
