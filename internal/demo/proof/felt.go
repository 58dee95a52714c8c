package proof

import (
	"time"

	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/demo/load"
)

const (
	calm     = 5 * time.Second        // before the fault: what is usual
	quiet    = 400 * time.Millisecond // without a disturbed request: it is over
	slowBy   = 30.0                   // ms over what is usual that a user can tell
	lookback = time.Second            // requests that were under way at the fault
)

// Felt is what users felt of a fault, in milliseconds.
type Felt struct {
	// SwitchMS is from the fault until requests are served as before: until the
	// first answer of another cloud, or until the last disturbed request was
	// due, whichever is later.
	SwitchMS float64
	// StallMS is the longest that a disturbed request took, those that were
	// under way at the fault included; 0 when none was disturbed.
	StallMS float64
}

// Feel measures a fault by what clients saw, and by nothing that Spare says. A
// request is disturbed when it did not succeed, when the victim answered it
// though it was due during the fault, or when it took at least 30 ms longer
// than 99 in 100 of its kind in the five seconds before. The disturbance is over
// at the first 400 ms in which no disturbed request was due. ok is false when
// no request succeeded elsewhere during the fault.
func Feel(entries []load.Entry, f Fault) (felt Felt, ok bool) {
	usual := usualMS(entries, f.At)
	end := f.At  // of the switch
	last := f.At // when the last disturbed request was due
	for _, e := range window(entries, f.At.Add(-lookback), f.Until) {
		if e.Done().Before(f.At) {
			continue
		}
		good := e.Outcome == load.OK && e.Cloud != f.Site
		if good && !ok && e.Due.After(f.At) {
			ok = true
			if f.Site != "" { // who serves does not change when control dies
				end = later(end, e.Done())
			}
		}
		disturbed := e.Outcome != load.OK || e.MS > usual[e.Kind]+slowBy || (f.Site != "" && !good && e.Due.After(f.Sure))
		if disturbed && e.Due.Sub(last) <= quiet {
			last = later(last, e.Due)
			end = later(end, e.Due)
			felt.StallMS = max(felt.StallMS, e.MS)
		}
	}
	felt.SwitchMS = apiv1.Milliseconds(end.Sub(f.At))
	return felt, ok
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func usualMS(entries []load.Entry, at time.Time) map[load.Kind]float64 {
	ms := map[load.Kind][]float64{}
	for _, e := range window(entries, at.Add(-calm), at) {
		if e.Outcome == load.OK && e.Done().Before(at) {
			ms[e.Kind] = append(ms[e.Kind], e.MS)
		}
	}
	usual := map[load.Kind]float64{}
	for kind, all := range ms {
		usual[kind] = load.Quantile(all, 0.99)
	}
	return usual
}
