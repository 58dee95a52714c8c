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

// Switch says for how long after the fault users could tell, in milliseconds:
// until the first request that another cloud answered, and until the end of
// the last disturbed request, whichever is later. A request is disturbed when
// it did not succeed, when the victim answered it after the fault, or when it
// took at least 30 ms longer than 99 in 100 of its kind in the five seconds
// before. The disturbance is over at the first 400 ms in which no disturbed
// request was due. It counts what clients saw and nothing that Spare says. ok
// is false when no request succeeded elsewhere during the fault.
func Switch(entries []load.Entry, f Fault) (ms float64, ok bool) {
	usual := usualMS(entries, f.At)
	var end time.Time
	last := f.At // when the last disturbed request was due
	for _, e := range window(entries, f.At.Add(-lookback), f.Until) {
		if e.Done().Before(f.At) {
			continue
		}
		good := e.Outcome == load.OK && e.Cloud != f.Site
		if good && !ok && e.Due.After(f.At) {
			ok = true // a fault of no site (control) starts with good requests
			if f.Site != "" && e.Done().After(end) {
				end = e.Done()
			}
		}
		disturbed := e.Outcome != load.OK || e.MS > usual[e.Kind]+slowBy || (f.Site != "" && !good && e.Due.After(f.Sure))
		if disturbed && e.Due.Sub(last) <= quiet {
			if e.Due.After(last) {
				last = e.Due
			}
			if e.Done().After(end) {
				end = e.Done()
			}
		}
	}
	if end.Before(f.At) {
		end = f.At
	}
	return apiv1.Milliseconds(end.Sub(f.At)), ok
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
