package incident

import (
	"fmt"
	"slices"
	"time"
)

// title names the incident for people in a few words.
func (r *record) title() string {
	in := &r.Incident
	who := list(in.Services)
	sites := r.sites()
	switch {
	case len(sites) > 1:
		return fmt.Sprintf("%s fails at %s", who, list(sites))
	case len(sites) == 1 && slices.Contains(r.SitesOut, sites[0]):
		return fmt.Sprintf("%s is down (%s)", sites[0], who)
	case len(sites) == 1:
		return fmt.Sprintf("%s fails at %s", who, sites[0])
	case in.Site != "":
		return fmt.Sprintf("requests of %s fail at %s", who, in.Site)
	default:
		return fmt.Sprintf("requests of %s fail", who)
	}
}

// closedMessage sums an incident up in one line.
func closedMessage(in *Incident) string {
	c := in.Impact.Counts
	return fmt.Sprintf("incident %s closed after %s: %s; %d requests, %d failed, %d maybe applied, %d cut, %d retried, %d hedged, %d resumed, longest %.0f ms",
		in.ID, in.Closed.Sub(in.Opened).Round(100*time.Millisecond), in.Title,
		c.Requests, c.Failed, c.MaybeApplied, c.Truncated, c.Retried, c.Hedged, c.Resumed, c.LongestMS)
}
