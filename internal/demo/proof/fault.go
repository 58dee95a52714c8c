package proof

import (
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/demo/load"
)

const (
	beforeFault = time.Second     // of traffic that must have been on the victim
	afterFault  = 2 * time.Second // of traffic that must be on others
)

// fault judges the one fault of the kind.
func (j *judge) fault(k Kind) {
	i := slices.IndexFunc(j.r.Faults, func(f Fault) bool { return f.Kind == k })
	if i < 0 {
		j.broken("%s: it never happened", k)
		return
	}
	f := &j.r.Faults[i]
	j.traffic(f)
	j.objectsDuring(f)
	if k == KillControl {
		j.control(f)
	} else {
		j.victim(f)
	}
	felt, ok := Feel(j.Entries, *f)
	if !ok {
		j.broken("%s %s: requests were never answered as before", k, f.Site)
		return
	}
	j.r.SwitchMS[k], j.r.StallMS[k] = felt.SwitchMS, felt.StallMS
	if rto := float64(j.RTO.Milliseconds()); felt.SwitchMS > rto {
		j.broken("%s %s: it took %.0f ms until requests were served as before; the objective is %.0f", k, f.Site, felt.SwitchMS, rto)
	}
}

// traffic counts who answered right before the fault and during it.
func (j *judge) traffic(f *Fault) {
	p := &f.Proof
	p.VictimBefore, p.AllBefore, p.VictimAfter, p.OthersAfter, p.AllAfter = 0, 0, 0, 0, 0
	for _, e := range window(j.Entries, f.At.Add(-beforeFault), f.At) {
		p.AllBefore++
		if e.Outcome == load.OK && e.Cloud == f.Site && e.Done().Before(f.At) {
			p.VictimBefore++
		}
	}
	for _, e := range window(j.Entries, f.Sure, f.Until) {
		if e.Outcome == load.OK && e.Cloud == f.Site && e.Done().Before(f.Until) {
			p.VictimAfter++
		}
		if e.Due.Sub(f.Sure) > afterFault {
			continue
		}
		p.AllAfter++
		if e.Outcome == load.OK && e.Cloud != f.Site && e.Cloud != "" {
			p.OthersAfter++
		}
	}
}

// victim judges the death or freezing of a cloud.
func (j *judge) victim(f *Fault) {
	p := f.Proof
	lacks := func(ok bool, format string, args ...any) {
		if !ok {
			j.broken(string(f.Kind)+" "+f.Site+": "+format, args...)
		}
	}
	if f.Kind == Kill {
		lacks(p.Signal == int(syscall.SIGKILL), "the kernel does not say that process %d was killed by signal 9 (it says %d)", p.PID, p.Signal)
		lacks(p.CounterAfter == Refused, "its counter of requests should be gone: %s", asked(p.CounterAfter))
		lacks(p.ConnectAfter == Refused, "a direct connection should be refused: %s", asked(p.ConnectAfter))
		lacks(p.BucketAfter == Refused, "its bucket should refuse connections: %s", asked(p.BucketAfter))
	} else {
		lacks(len(p.States) >= 2 && strings.Trim(p.States, "T") == "", "the kernel does not show process %d as stopped throughout (states %q)", p.PID, p.States)
		lacks(p.CounterAfter == NoAnswer, "its counter of requests should not answer: %s", asked(p.CounterAfter))
		lacks(p.ConnectAfter == NoAnswer, "a direct request should hang: %s", asked(p.ConnectAfter))
		lacks(p.BucketAfter == NoAnswer, "a request to its bucket should hang: %s", asked(p.BucketAfter))
	}
	lacks(!f.Sure.IsZero() && f.Until.After(f.Sure), "it is not known from when to when it lasted")
	grew := len(p.ServedBefore) == 2 && p.ServedBefore[1] > p.ServedBefore[0]
	lacks(grew, "its counter of requests did not grow before the fault (%v)", p.ServedBefore)
	lacks(p.VictimBefore > 0 && 2*p.VictimBefore > p.AllBefore, "it answered only %d of the %d requests right before", p.VictimBefore, p.AllBefore)
	lacks(p.VictimAfter == 0, "it answered %d requests that were sent after the fault", p.VictimAfter)
	lacks(p.OthersAfter > 0 && 2*p.OthersAfter > p.AllAfter, "others answered only %d of the %d requests right after", p.OthersAfter, p.AllAfter)
	lacks(p.BucketBefore == Answered, "its bucket did not answer before the fault: %s", asked(p.BucketBefore))
	lacks(p.Written > 0, "no object was written while it lasted")
	lacks(p.Read > 0, "no object was read while it lasted")
	for _, in := range j.Incidents {
		if blames(in, f.Site) && !in.Opened.Before(f.At.Truncate(time.Millisecond)) && in.Opened.Before(f.Until) {
			f.Proof.Incident = in.ID
		}
	}
	lacks(f.Proof.Incident != "", "Spare opened no incident for it")
}

// blames reports whether the incident is about the site: as a whole, or as one
// of several.
func blames(in apiv1.Incident, site string) bool {
	return in.Site == site || slices.ContainsFunc(in.Causes, func(c apiv1.Cause) bool { return c.Site == site })
}

func asked(r Reply) string {
	if r == "" {
		return "nobody asked"
	}
	return string(r)
}

// control judges the death of Spare's control process and its return.
func (j *judge) control(f *Fault) {
	p := f.Proof
	switch {
	case p.PID == 0 || !p.Gone:
		j.broken("%s: process %d is not gone", f.Kind, p.PID)
	case p.Successor == 0 || p.Successor == p.PID:
		j.broken("%s: no other process took its place", f.Kind)
	case !p.StatusAt.After(f.Sure) || f.Sure.IsZero():
		j.broken("%s: its successor never showed Spare's state", f.Kind)
	}
	if p.AllBefore == 0 || p.AllAfter == 0 {
		j.broken("%s: there was no traffic around it", f.Kind)
	}
}
