package incident

import (
	"fmt"
	"slices"
	"time"

	"github.com/sparecloud/spare/internal/estate"
)

// title names the incident for people in a few words.
func (r *record) title() string {
	in := &r.Incident
	who, fail := list(subjects(in.Services)), "fails"
	if len(in.Services) > 1 {
		fail = "fail"
	}
	sites := r.sites()
	switch {
	case len(sites) > 1:
		return fmt.Sprintf("%s %s at %s", who, fail, list(sites))
	case len(sites) == 1 && slices.Contains(r.SitesOut, sites[0]):
		return fmt.Sprintf("%s is down (%s)", sites[0], who)
	case len(sites) == 1:
		return fmt.Sprintf("%s %s at %s", who, fail, sites[0])
	case in.Site != "":
		return fmt.Sprintf("requests of %s fail at %s", who, in.Site)
	default:
		return fmt.Sprintf("requests of %s fail", who)
	}
}

// subjects names services, and buckets as such, services first.
func subjects(ids []estate.ServiceID) []string {
	var services, buckets []string
	for _, id := range ids {
		if b, ok := id.Bucket(); ok {
			buckets = append(buckets, "bucket "+string(b))
		} else {
			services = append(services, string(id))
		}
	}
	return append(services, buckets...)
}

func subject(id estate.ServiceID) string { return subjects([]estate.ServiceID{id})[0] }

// closedMessage sums an incident up in one line.
func closedMessage(in *Incident) string {
	c := in.Impact.Counts
	after := in.Closed.Sub(in.Opened).Round(100 * time.Millisecond)
	if onlyBuckets(in.Services) { // nobody counts their requests by incident
		return fmt.Sprintf("incident %s closed after %s: %s", in.ID, after, in.Title)
	}
	return fmt.Sprintf("incident %s closed after %s: %s; %d requests, %d failed, %d maybe applied, %d cut, %d retried, %d hedged, %d resumed, longest %.0f ms",
		in.ID, after, in.Title,
		c.Requests, c.Failed, c.MaybeApplied, c.Truncated, c.Retried, c.Hedged, c.Resumed, c.LongestMS)
}

func onlyBuckets(ids []estate.ServiceID) bool {
	return len(ids) > 0 && !slices.ContainsFunc(ids, func(id estate.ServiceID) bool { _, ok := id.Bucket(); return !ok })
}
