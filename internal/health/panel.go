package health

import (
	"time"

	"github.com/sparecloud/spare/internal/estate"
)

// Panel is an observer's doubt about itself. When every site that it watches
// stops answering at once, the likelier reason is that its own network is
// gone, and then its failures say nothing about anybody. Put each result to
// the panel before the target's [Detector]:
//
//	if panel.Trust(result) {
//		v, changed = detector.Check(result)
//	}
//
// Withheld failures leave the detectors without results, so that their
// verdicts turn to Unknown and not to Down.
//
// It abstains once each watched site, two at least, had a failure that a dead
// network explains (DNS, connect, timeout) since the last proof that the
// network works. Any answer is such a proof, a refusal or an error status
// too. With one site only, an outage there cannot be told from one here, and
// the panel trusts everything.
//
// The failures of the first interval pass before the last site has failed:
// they are fewer than DownAfter unless sites are checked at very different
// intervals. Panel is not safe for concurrent use.
type Panel struct {
	sites  map[estate.SiteID]bool // watched: failed since the last proof
	failed int                    // how many of them are true
	newest time.Time
	since  time.Time // when the panel began to abstain
}

// NewPanel gives a panel over the targets.
func NewPanel(targets []estate.Target) *Panel {
	p := &Panel{}
	p.Watch(targets)
	return p
}

// Watch replaces the watched targets.
func (p *Panel) Watch(targets []estate.Target) {
	old := p.sites
	p.sites, p.failed = make(map[estate.SiteID]bool, len(targets)), 0
	for _, t := range targets {
		p.sites[t.Site] = old[t.Site]
	}
	for _, failed := range p.sites {
		if failed {
			p.failed++
		}
	}
	p.note()
}

// Trust takes a result in and reports whether it may be held against, or for,
// its target.
func (p *Panel) Trust(r Result) bool {
	failed, watched := p.sites[r.Target.Site]
	if !watched {
		return true
	}
	if r.At.After(p.newest) {
		p.newest = r.At
	}
	switch {
	case r.OK || !networkCause(r.Cause):
		p.proof()
	case !failed:
		p.sites[r.Target.Site] = true
		p.failed++
	}
	p.note()
	return p.since.IsZero()
}

// Abstains reports whether the observer doubts itself, and since when.
func (p *Panel) Abstains() (since time.Time, ok bool) { return p.since, !p.since.IsZero() }

// proof takes in that the network works.
func (p *Panel) proof() {
	if p.failed == 0 {
		return
	}
	for site := range p.sites {
		p.sites[site] = false
	}
	p.failed = 0
}

func (p *Panel) note() {
	switch {
	case len(p.sites) < 2 || p.failed < len(p.sites):
		p.since = time.Time{}
	case p.since.IsZero():
		p.since = p.newest
	}
}

// networkCause reports whether an attempt fails with this cause when the
// observer has no network.
func networkCause(c Cause) bool {
	return c == CauseDNS || c == CauseConnect || c == CauseTimeout
}
