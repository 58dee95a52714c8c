package failover

import (
	"time"

	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/route"
)

// Status is what the controller holds, as of At. It is a snapshot and never
// changes.
type Status struct {
	At       time.Time       `json:"at"`
	Epoch    uint64          `json:"epoch"`           // of the table in force; 0 = none yet
	Estate   string          `json:"estate"`          // digest of the file it comes from
	Store    string          `json:"store,omitempty"` // why the store does not answer; "" = it does
	Dropped  uint64          `json:"dropped"`         // pieces of evidence that did not fit
	Services []ServiceStatus `json:"services"`        // in the file's order
}

// ServiceStatus is one service.
type ServiceStatus struct {
	ID        estate.ServiceID `json:"id"`
	Policy    estate.Policy    `json:"policy"`
	Writes    estate.Writes    `json:"writes"`
	Active    estate.SiteID    `json:"active,omitempty"`
	Origins   []OriginStatus   `json:"origins"`   // in the file's order
	Overrides []Override       `json:"overrides"` // live ones
	Pending   *Pending         `json:"pending,omitempty"`
}

// OriginStatus is one origin: its state in the table, and the verdict.
type OriginStatus struct {
	Site    estate.SiteID  `json:"site"`
	URL     string         `json:"url"`
	Weight  int            `json:"weight"`
	State   route.State    `json:"state"`
	Since   time.Time      `json:"since"` // of State
	Verdict health.Verdict `json:"verdict"`
}

// Pending is a hard move that is wanted and not done.
type Pending struct {
	From     estate.SiteID `json:"from"`
	To       estate.SiteID `json:"to,omitempty"` // "" = nowhere to go
	Reason   string        `json:"reason"`
	Actor    string        `json:"actor,omitempty"`
	Since    time.Time     `json:"since,omitzero"` // when the site went out, or the move began
	Due      time.Time     `json:"due,omitzero"`   // earliest time of the move
	Blocked  string        `json:"blocked,omitempty"`
	Running  bool          `json:"running"`         // the fence hook is at work
	Epoch    uint64        `json:"epoch,omitempty"` // fencing token, once it began
	Attempts int           `json:"attempts,omitempty"`
	Error    string        `json:"error,omitempty"` // of the newest attempt
	Retry    time.Time     `json:"retry,omitzero"`  // no attempt before
}

// Status gives the newest snapshot. Before the first table it is empty.
func (c *Controller) Status() Status { return *c.status.Load() }

// Table gives the table in force, or nil before the first one.
func (c *Controller) Table() *route.Table { return c.table.Load() }

func (l *loop) snapshot(now time.Time) *Status {
	st := &Status{At: utc(now), Dropped: l.c.dropped.Load(), Services: []ServiceStatus{}}
	if err := l.storeReady(); err != nil {
		st.Store = err.Error()
	}
	if l.current {
		st.Epoch, st.Estate = l.last.Epoch, l.last.Estate
	}
	for i := range l.estate.Services {
		st.Services = append(st.Services, l.serviceStatus(&l.estate.Services[i], i, now))
	}
	return st
}

func (l *loop) serviceStatus(s *estate.Service, place int, now time.Time) ServiceStatus {
	cur := serviceNear(l.last, s.ID, place)
	st := ServiceStatus{ID: s.ID, Policy: s.Policy, Writes: s.Writes, Origins: []OriginStatus{}, Overrides: []Override{}}
	if cur != nil {
		st.Active = cur.Active
	}
	for _, o := range s.Origins {
		r, ok := originOf(cur, o.Site)
		if !ok {
			r.State = route.Unknown
		}
		os := OriginStatus{Site: o.Site, URL: o.URL, Weight: o.Weight, State: r.State, Since: r.Since}
		if t, ok := l.targets[estate.Target{Service: s.ID, Site: o.Site}]; ok {
			os.Verdict = t.Verdict()
		}
		st.Origins = append(st.Origins, os)
	}
	for _, o := range l.mirror.known() {
		if o.Service == s.ID && o.live(now) {
			st.Overrides = append(st.Overrides, o)
		}
	}
	if h, ok := l.hard[s.ID]; ok && h.pending != nil {
		p := *h.pending
		st.Pending = &p
	}
	return st
}
