// Package route holds the routing table: one immutable decision, with an
// epoch, about which origin serves what. The control plane builds tables, the
// data path serves the last one it was given and never asks back.
//
// A [Table] is a plain value that travels as JSON over the unix socket and
// rests in the state folder. Nothing in it is a fault injected by a drill, and
// nothing in it expires.
package route

import (
	"fmt"
	"net/url"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
)

// Table says for each service which origins may serve it, in what order, and
// where its unsafe requests go.
type Table struct {
	Epoch    uint64    `json:"epoch"`  // grows with every published table
	Issued   time.Time `json:"issued"` // UTC, for people; decisions never use it
	Estate   string    `json:"estate"` // digest of the file it was derived from
	Services []Service `json:"services"`
}

// Service is the routing of one service.
type Service struct {
	ID          estate.ServiceID `json:"id"`
	Hosts       []string         `json:"hosts,omitempty"` // none = every host
	Paths       []string         `json:"paths,omitempty"` // none = "/"
	Policy      estate.Policy    `json:"policy"`
	Writes      estate.Writes    `json:"writes"`
	RetryWrites bool             `json:"retry_writes,omitempty"`
	SpareReads  bool             `json:"spare_reads"`
	// Active is the site that takes unsafe requests when Writes is one_site,
	// and that reads prefer under policy primary. "" = the first origin.
	Active  estate.SiteID `json:"active,omitempty"`
	Limits  Limits        `json:"limits"`
	Check   Check         `json:"check"` // how the data path readmits an origin on its own
	Origins []Origin      `json:"origins"`
}

// Limits bound the requests of a service. The zero value means the data path's
// defaults.
type Limits struct {
	Body        int64         `json:"body,omitempty"`       // bytes
	Timeout     time.Duration `json:"timeout_ns,omitempty"` // until the response head
	HedgeOff    bool          `json:"hedge_off,omitempty"`
	HedgeDelay  time.Duration `json:"hedge_delay_ns,omitempty"` // 0 = adaptive
	HedgeBudget float64       `json:"hedge_budget,omitempty"`   // share of requests
}

// Check is what the data path sends before it readmits an origin that it
// ejected: always an HTTP request, because a frozen process still accepts TCP.
type Check struct {
	Path    string        `json:"path"`
	Host    string        `json:"host,omitempty"`
	Status  []int         `json:"status,omitempty"` // none = any below 500
	Timeout time.Duration `json:"timeout_ns"`
}

// State is what the control plane holds an origin to be.
type State string

// The states. Unknown is served like Up: what cannot be judged is not taken
// away.
const (
	Unknown  State = "unknown"
	Up       State = "up"
	Degraded State = "degraded" // serves, behind those that are up
	Down     State = "down"     // serves only when nothing else does (fail open)
	Drained  State = "drained"  // taken out by hand; serves nothing new
)

// Origin is one upstream of a service.
type Origin struct {
	Site   estate.SiteID `json:"site"`
	URL    string        `json:"url"`
	Host   string        `json:"host,omitempty"` // Host header for the origin; "" = the client's
	Weight int           `json:"weight"`
	State  State         `json:"state"`
	// Since is when the state began (UTC). The data path starts an origin
	// slowly when its state turns to up while a table is in force.
	Since time.Time `json:"since"`
}

// Validate reports the first thing that makes the table unusable. The data
// path refuses such a table and goes on with the one it has.
func (t *Table) Validate() error {
	seen := map[estate.ServiceID]bool{}
	for _, s := range t.Services {
		if s.ID == "" || seen[s.ID] {
			return errs.E(errs.Invalid, "table %d: service %q is unnamed or stands twice", t.Epoch, s.ID)
		}
		seen[s.ID] = true
		if len(s.Origins) == 0 {
			return errs.E(errs.Invalid, "table %d: service %q has no origin", t.Epoch, s.ID)
		}
		active := s.Active == ""
		for _, o := range s.Origins {
			u, err := url.Parse(o.URL)
			if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
				return errs.E(errs.Invalid, "table %d: service %q: origin %s: %q is not an http or https URL", t.Epoch, s.ID, o.Site, o.URL)
			}
			active = active || o.Site == s.Active
		}
		if !active {
			return errs.E(errs.Invalid, "table %d: service %q: active site %q has no origin", t.Epoch, s.ID, s.Active)
		}
	}
	return nil
}

// String says epoch and size, for logs.
func (t *Table) String() string {
	return fmt.Sprintf("table %d (%d services)", t.Epoch, len(t.Services))
}
