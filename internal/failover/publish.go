package failover

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/journal"
	"github.com/sparecloud/spare/internal/route"
)

const maxChangesNamed = 6 // in the message of one entry; its data has all

// publish puts a table in force and records what it changed.
func (l *loop) publish(t *route.Table, now time.Time) {
	before, first := l.last, !l.current
	l.last, l.current = t, true
	l.c.table.Store(t)
	l.c.opt.Publish(t)
	l.keep(t)
	changes := diff(before, t)
	message := fmt.Sprintf("table %d: %s", t.Epoch, summary(changes))
	if first && len(changes) == 0 {
		message = fmt.Sprintf("table %d, the first since the start: as the last one", t.Epoch)
	} else if first {
		message = fmt.Sprintf("table %d, the first since the start: %s", t.Epoch, summary(changes))
	}
	l.c.note(journal.KindTable, journal.Info, "", "", "spare", message, struct {
		Epoch   uint64   `json:"epoch"`
		Estate  string   `json:"estate"`
		Changes []string `json:"changes"`
	}{t.Epoch, t.Estate, changes})
	l.c.log.Info("table published", "epoch", t.Epoch, "changes", len(changes))
	for i := range t.Services {
		if old := serviceNear(before, t.Services[i].ID, i); old != nil {
			l.switched(old, &t.Services[i], t.Epoch, now)
		}
	}
}

// keep hands the table to be stored, in place of an older one that still
// waits.
func (l *loop) keep(t *route.Table) {
	for {
		select {
		case l.c.saves <- t:
			return
		default:
		}
		select {
		case <-l.c.saves:
		default:
		}
	}
}

// switched records that a service's active site is another one.
func (l *loop) switched(old, cur *route.Service, epoch uint64, now time.Time) {
	if old.Active == cur.Active || old.Active == "" || cur.Active == "" {
		return
	}
	s := Switch{At: utc(now), Service: cur.ID, From: old.Active, To: cur.Active, Epoch: epoch, Actor: "spare"}
	dedup := ""
	if cur.Writes == estate.WritesOneSite {
		d := l.mirror.decisions[cur.ID]
		s.Hard, s.Reason, s.Actor = true, d.Reason, d.Actor
		if d.Epoch > 0 {
			dedup = fmt.Sprintf("switch/%s/%d", cur.ID, d.Epoch) // however often it is found again
		}
	} else {
		s.Reason, s.Actor = l.softReason(cur, old.Active)
	}
	what := "traffic"
	if s.Hard {
		what = "writes"
	}
	l.c.rec.add(journal.Entry{
		At: s.At, Kind: journal.KindSwitch, Level: journal.Warn, Certainty: journal.Observed,
		Service: s.Service, Site: s.To, Actor: s.Actor, Data: encode(s), Dedup: dedup,
		Message: fmt.Sprintf("%s of %s moved from %s to %s: %s", what, s.Service, s.From, s.To, s.Reason),
	})
	l.c.opt.OnSwitch(s)
}

func (l *loop) softReason(cur *route.Service, from estate.SiteID) (reason, actor string) {
	if r, ok := l.failback[cur.ID]; ok {
		return "failback by hand" + because(r.reason), r.actor
	}
	o, ok := originOf(cur, from)
	switch {
	case !ok:
		return fmt.Sprintf("%s is no longer in the file", from), "spare"
	case o.State == route.Drained:
		d := l.mirror.overrides[Override{Kind: KindDrain, Service: cur.ID, Site: from}.key()]
		return fmt.Sprintf("%s is drained%s", from, because(d.Reason)), d.Actor
	case o.State == route.Down:
		v, judged := l.verdicts[estate.Target{Service: cur.ID, Site: from}]
		if !judged || v.State != health.Down {
			return fmt.Sprintf("%s is down", from), "spare"
		}
		return verdictReason(v), "spare"
	default:
		return fmt.Sprintf("failback: %s is up again", cur.Active), "spare"
	}
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

func summary(changes []string) string {
	switch n := len(changes); {
	case n == 0:
		return "no change in routing, a data process needs a newer number"
	case n > maxChangesNamed:
		return fmt.Sprintf("%s, and %d more", strings.Join(changes[:maxChangesNamed], ", "), n-maxChangesNamed)
	default:
		return strings.Join(changes, ", ")
	}
}

// diff names what changed between two tables, in the new one's order.
func diff(before, now *route.Table) []string {
	changes := []string{}
	if before != nil && before.Estate != now.Estate {
		changes = append(changes, "another file")
	}
	for i := range now.Services {
		s := &now.Services[i]
		old := serviceNear(before, s.ID, i)
		if old == nil {
			changes = append(changes, fmt.Sprintf("%s added", s.ID))
			continue
		}
		if old.Active != s.Active {
			changes = append(changes, fmt.Sprintf("%s active %s -> %s", s.ID, old.Active, s.Active))
		}
		changes = append(changes, diffOrigins(old, s)...)
	}
	if before != nil {
		for i, s := range before.Services {
			if serviceNear(now, s.ID, i) == nil {
				changes = append(changes, fmt.Sprintf("%s removed", s.ID))
			}
		}
	}
	return changes
}

func diffOrigins(old, cur *route.Service) []string {
	var changes []string
	for _, o := range cur.Origins {
		name := estate.Target{Service: cur.ID, Site: o.Site}
		was, ok := originOf(old, o.Site)
		switch {
		case !ok:
			changes = append(changes, fmt.Sprintf("%s added", name))
		case was.State != o.State:
			changes = append(changes, fmt.Sprintf("%s %s -> %s", name, was.State, o.State))
		}
	}
	for _, o := range old.Origins {
		if _, ok := originOf(cur, o.Site); !ok {
			changes = append(changes, fmt.Sprintf("%s removed", estate.Target{Service: cur.ID, Site: o.Site}))
		}
	}
	slices.Sort(changes)
	return changes
}
