package proof

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/demo/load"
	"github.com/sparecloud/spare/internal/demo/shop"
)

// judge collects what is broken.
type judge struct {
	Evidence
	r *Report
}

// Judge says what the evidence shows.
func Judge(e Evidence) *Report {
	j := &judge{Evidence: e, r: &Report{
		Seed: e.Seed, Version: e.Version, Began: e.Began.UTC(), TookMS: apiv1.Milliseconds(e.Ended.Sub(e.Began)),
		Faults: slices.Clone(e.Faults), SwitchMS: map[Kind]float64{}, StallMS: map[Kind]float64{},
		Incidents: []Incident{}, Broken: []string{},
	}}
	j.incidents()
	for _, k := range Kinds() {
		j.fault(k)
	}
	j.requests()
	j.orders()
	j.archive()
	for _, s := range e.Interrupted {
		j.broken("%s", s)
	}
	j.r.OK = len(j.r.Broken) == 0
	return j.r
}

func (j *judge) broken(format string, args ...any) {
	j.r.Broken = append(j.r.Broken, fmt.Sprintf(format, args...))
}

// incidents takes over Spare's record, oldest first.
func (j *judge) incidents() {
	for _, in := range slices.Backward(j.Incidents) {
		own := Incident{ID: in.ID, Site: in.Site, Title: in.Title, Severity: in.Severity, Opened: in.Opened, Closed: in.Closed, Causes: in.Causes}
		if own.Causes == nil {
			own.Causes = []apiv1.Cause{}
		}
		for _, c := range own.Causes {
			own.Site = cmp.Or(own.Site, c.Site)
		}
		j.r.Incidents = append(j.r.Incidents, own)
		if in.Closed.IsZero() {
			j.broken("incident %s (%s) is not closed", in.ID, own.Site)
		}
		if len(in.Causes) == 0 {
			j.broken("incident %s (%s) names no cause", in.ID, own.Site)
		}
	}
}

func (j *judge) requests() {
	q := &j.r.Requests
	q.Sent = len(j.Entries)
	var ms []float64
	for _, e := range j.Entries {
		switch e.Outcome {
		case load.OK:
		case load.MaybeApplied:
			q.MaybeApplied++
		default:
			q.Failed++
		}
		q.LongestMS = max(q.LongestMS, e.MS)
		if e.Kind == load.KindDownload {
			q.LongestDownloadMS = max(q.LongestDownloadMS, e.MS)
		} else {
			ms = append(ms, e.MS)
		}
	}
	q.P50MS, q.P99MS = load.Quantile(ms, 0.50), load.Quantile(ms, 0.99)
	if q.Failed > 0 {
		j.broken("%d requests failed, the first of them: %s", q.Failed, j.firstFailed())
	}
	// Nobody is hurt where nobody comes: a demo without load proves nothing.
	if want := int(0.9 * float64(j.Rate) * j.LoadEnded.Sub(j.LoadBegan).Seconds()); q.Sent < want || want == 0 {
		j.broken("only %d requests were sent, of %d", q.Sent, want)
	}
}

func (j *judge) firstFailed() string {
	for _, e := range j.Entries {
		if e.Outcome == load.Failed {
			return fmt.Sprintf("%s %s%s at %s: status %d, %s", e.Kind, e.Path, e.ID, e.Due.UTC().Format("15:04:05.000"), e.Status, e.Error)
		}
	}
	return "none"
}

// orders reconciles the ledger with the clouds' folders and with what Spare
// shows.
func (j *judge) orders() {
	o := &j.r.Orders
	copies, arrivals := j.disks()
	for _, e := range j.Entries {
		if e.Kind != load.KindOrder {
			continue
		}
		want := shop.Order{ID: e.ID, Item: e.Item, Qty: e.Qty}
		switch e.Outcome {
		case load.OK:
			o.Acknowledged++
			if copies[want] >= 2 && j.Lookups[e.ID] == Found {
				o.Found++
			} else if o.Missing++; o.Missing == 1 {
				j.broken("acknowledged order %s is on disk at %d clouds, and Spare says: %s", e.ID, copies[want], said(j.Lookups[e.ID]))
			}
		case load.MaybeApplied:
			switch j.Lookups[e.ID] {
			case Found:
				o.MaybeAppliedFound++
			case Absent:
			default:
				o.Unreconciled++
			}
		}
	}
	for _, n := range arrivals {
		o.Duplicates += max(0, n-1)
	}
	if o.Acknowledged == 0 {
		j.broken("no order was acknowledged")
	}
	if o.Missing > 0 {
		j.broken("%d acknowledged orders are missing", o.Missing)
	}
	if o.Unreconciled > 0 {
		j.broken("%d orders of unknown effect could not be reconciled", o.Unreconciled)
	}
	if o.Duplicates > 0 {
		j.broken("orders reached the clouds %d times too often", o.Duplicates)
	}
}

func said(f Finding) string {
	if f == "" {
		return "not known"
	}
	return string(f)
}

// disks counts at how many clouds each order is on disk, and how often each id
// came in by a front.
func (j *judge) disks() (copies map[shop.Order]int, arrivals map[string]int) {
	copies, arrivals = map[shop.Order]int{}, map[string]int{}
	for _, recs := range j.Logs {
		here := map[shop.Order]bool{}
		for _, r := range recs {
			here[r.Order] = true
			if r.Via == shop.ViaFront {
				arrivals[r.ID]++
			}
		}
		for o := range here {
			copies[o]++
		}
	}
	return copies, arrivals
}

// window selects the ledger's entries that were due in [from, to).
func window(entries []load.Entry, from, to time.Time) []load.Entry {
	var out []load.Entry
	for _, e := range entries {
		if !e.Due.Before(from) && e.Due.Before(to) {
			out = append(out, e)
		}
	}
	return out
}
