package app

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/journal"
	"github.com/sparecloud/spare/internal/probe"
)

// depends watches what services rely on and others run. A dependency moves no
// traffic; that it went down just before an incident is what people ask first,
// so each change of its verdict is in the journal.
type depends struct {
	record *recorder

	mu    sync.Mutex
	order []estate.Target
	by    map[estate.Target]*health.Detector
}

// dependencyTarget names a dependency among the prober's targets. No site and
// a name that no service can have keep it apart from origins.
func dependencyTarget(id estate.DependencyID) estate.Target {
	return estate.Target{Service: estate.ServiceID("dependency " + string(id))}
}

// set replaces the dependencies that are watched and gives what to probe. One
// that stays keeps what is known of it.
func (d *depends) set(list []estate.Dependency) []probe.Target {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := d.by
	d.by, d.order = map[estate.Target]*health.Detector{}, nil
	var targets []probe.Target
	for _, dep := range list {
		if dep.Check == nil || dep.URL == "" {
			continue
		}
		t := dependencyTarget(dep.ID)
		d.by[t] = before[t]
		if d.by[t] == nil {
			d.by[t] = health.NewDetector(t, health.PolicyOf(*dep.Check), time.Now())
		}
		d.order = append(d.order, t)
		targets = append(targets, probe.Target{Target: t, URL: dep.URL, Check: *dep.Check})
	}
	return targets
}

// checked takes a result and reports whether it was a dependency's.
func (d *depends) checked(r health.Result) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	det := d.by[r.Target]
	if det == nil {
		return false
	}
	prev := det.Verdict().State
	v, _ := det.Check(r)
	d.note(prev, v)
	return true
}

// run lets verdicts grow old when results cease.
func (d *depends) run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			d.mu.Lock()
			for _, t := range d.order {
				prev := d.by[t].Verdict().State
				v, _ := d.by[t].Tick(now)
				d.note(prev, v)
			}
			d.mu.Unlock()
		}
	}
}

// note records a change of state.
func (d *depends) note(prev health.State, v health.Verdict) {
	if v.State == prev {
		return
	}
	level := journal.Info
	if v.State == health.Down || v.State == health.Degraded {
		level = journal.Warn
	}
	d.record.add(journal.Entry{
		At: v.Since, Kind: journal.KindVerdict, Level: level, Certainty: journal.Observed,
		Message: fmt.Sprintf("%s is %s: %s", v.Target.Service, v.State, v.Evidence),
	})
}
