package app

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/failover"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/incident"
	"github.com/sparecloud/spare/internal/link"
	"github.com/sparecloud/spare/internal/metrics"
	"github.com/sparecloud/spare/internal/route"
)

// routeTable keeps the glue's signatures short.
type routeTable = route.Table

// status puts the whole picture together from what is at hand.
func (c *control) status(ctx context.Context) (apiv1.Status, error) {
	st := c.failover.Status()
	open, err := c.desk.List(ctx, incident.Filter{States: []incident.State{incident.Open, incident.Monitoring}, Limit: 1000})
	if err != nil {
		return apiv1.Status{}, err
	}
	traffic := c.latest()
	c.mu.Lock()
	doc := apiv1.Status{
		Version: c.opt.Version, At: time.Now().UTC(), Epoch: st.Epoch, Estate: c.estate.Load().Digest,
		Config: apiv1.Config{Path: c.opt.Config, Loaded: c.loaded, Error: c.fault},
		Sites:  []apiv1.Site{}, Services: []apiv1.Service{}, DataProcesses: []apiv1.DataProcess{}, IncidentsOpen: len(open),
	}
	c.mu.Unlock()
	for _, s := range c.estate.Load().Sites {
		doc.Sites = append(doc.Sites, apiv1.Site{ID: string(s.ID), Provider: s.Provider, Region: s.Region, Zone: s.Zone})
	}
	e := c.estate.Load()
	for i, s := range st.Services {
		if i < len(e.Services) && e.Services[i].ID == s.ID { // the usual case: one order
			doc.Services = append(doc.Services, serviceDoc(s, &e.Services[i], traffic[s.ID]))
		} else if declared, ok := e.Service(s.ID); ok {
			doc.Services = append(doc.Services, serviceDoc(s, declared, traffic[s.ID]))
		}
	}
	doc.Buckets = c.bucketDocs(doc.At)
	for _, p := range slices.Backward(c.hub.Peers()) {
		doc.DataProcesses = append(doc.DataProcesses, peerDoc(p))
	}
	return doc, nil
}

// latest gives the counts of the newest data process that reports.
func (c *control) latest() map[estate.ServiceID]health.Traffic {
	peers := c.hub.Peers()
	c.mu.Lock()
	defer c.mu.Unlock()
	var pick trafficReport
	for _, p := range peers {
		if r, ok := c.traffic[p.Incarnation]; ok {
			pick = r // the last one connected last
		}
	}
	by := make(map[estate.ServiceID]health.Traffic, len(pick.list))
	for _, t := range pick.list {
		by[t.Service] = t
	}
	for src := range c.traffic { // processes that are gone are the incidents' business
		if !slices.ContainsFunc(peers, func(p link.Peer) bool { return p.Incarnation == src }) {
			delete(c.traffic, src)
		}
	}
	return by
}

func serviceDoc(s failover.ServiceStatus, declared *estate.Service, t health.Traffic) apiv1.Service {
	doc := apiv1.Service{
		ID: string(s.ID), Hosts: slices.Clone(declared.Hosts), Policy: string(s.Policy), Writes: string(s.Writes), Active: string(s.Active),
		Origins: []apiv1.Origin{}, Traffic: trafficDoc(t), Overrides: []apiv1.Override{},
	}
	if doc.Hosts == nil {
		doc.Hosts = []string{}
	}
	for _, o := range s.Origins {
		doc.Origins = append(doc.Origins, originDoc(o, t))
	}
	for _, o := range s.Overrides {
		doc.Overrides = append(doc.Overrides, apiv1.Override{Kind: string(o.Kind), Site: string(o.Site), Until: o.Until, Reason: o.Reason, Actor: o.Actor})
	}
	if p := s.Pending; p != nil {
		doc.Pending = &apiv1.PendingMove{From: string(p.From), To: string(p.To), Due: p.Due, Blocked: blockedBy(p)}
	}
	doc.State = userState(doc.Origins)
	return doc
}

func blockedBy(p *failover.Pending) string {
	if p.Blocked == "" {
		return p.Error
	}
	return p.Blocked
}

// userState is the service as its users see it.
func userState(origins []apiv1.Origin) string {
	serving, judged, well := 0, 0, 0
	for _, o := range origins {
		out := o.Verdict == health.Down.String() || o.State == string(route.Drained)
		if !out {
			serving++
		}
		if o.Verdict != health.Unknown.String() {
			judged++
		}
		if o.Verdict == health.Up.String() && o.State == string(route.Up) && !o.Ejected {
			well++
		}
	}
	switch {
	case serving == 0:
		return apiv1.ServiceDown
	case judged == 0:
		return apiv1.ServiceUnknown
	case well == len(origins):
		return apiv1.ServiceUp
	}
	return apiv1.ServiceDegraded
}

func originDoc(o failover.OriginStatus, t health.Traffic) apiv1.Origin {
	doc := apiv1.Origin{
		Site: string(o.Site), URL: o.URL, Weight: o.Weight, State: string(o.State), Verdict: o.Verdict.State.String(),
		Cause: string(o.Verdict.Cause), Since: o.Verdict.Since, Evidence: o.Verdict.Evidence,
	}
	for _, seen := range t.Origins {
		if seen.Site == o.Site {
			doc.Ejected, doc.Requests, doc.Failures = seen.Ejected, seen.Requests, seen.Failures
			doc.P50MS, doc.P95MS, doc.P99MS = ms(seen.P50NS), ms(seen.P95NS), ms(seen.P99NS)
		}
	}
	return doc
}

func ms(ns int64) float64 { return float64(ns/1000) / 1000 }

func trafficDoc(t health.Traffic) apiv1.Traffic {
	return apiv1.Traffic{
		Requests: t.Requests, Failed: t.Failed, Refused: t.Refused, Retried: t.Retried, Hedged: t.Hedged, HedgeWins: t.HedgeWins,
		Resumed: t.Resumed, Truncated: t.Truncated, MaybeApplied: t.MaybeApplied, ServerErrors: t.ServerErrors, LongestMS: ms(t.LongestNS),
	}
}

func peerDoc(p link.Peer) apiv1.DataProcess {
	return apiv1.DataProcess{Incarnation: p.Incarnation, PID: p.PID, Epoch: p.Epoch, Linked: true, Since: p.Since, RSSBytes: residentBytes(p.PID)}
}

// residentBytes reads a process's resident memory from the kernel; 0 when it
// is gone.
func residentBytes(pid int) int64 {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	fields := strings.Fields(string(b))
	if err != nil || len(fields) < 2 {
		return 0
	}
	pages, _ := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize())
}

func incidentDoc(in incident.Incident) apiv1.Incident {
	doc := apiv1.Incident{
		ID: in.ID, Title: in.Title, Severity: string(in.Severity), State: string(in.State), Site: string(in.Site), Services: []string{},
		Opened: in.Opened, Closed: in.Closed, Causes: []apiv1.Cause{},
		Times:  apiv1.Times{Detected: in.Times.Detected, Ejected: in.Times.Ejected, Switched: in.Times.Switched, Recovered: in.Times.Recovered},
		Impact: impactDoc(in.Impact),
	}
	end := in.Closed
	if end.IsZero() {
		end = time.Now()
	}
	doc.DurationMS = ms(int64(end.Sub(in.Opened)))
	for _, s := range in.Services {
		doc.Services = append(doc.Services, string(s))
	}
	for _, k := range in.Causes {
		doc.Causes = append(doc.Causes, apiv1.Cause{Kind: string(k.Kind), Site: string(k.Site), Service: string(k.Service), Text: k.Text, Certainty: string(k.Certainty), Score: k.Score, Entries: k.Entries})
	}
	return doc
}

func impactDoc(i incident.Impact) apiv1.Impact {
	n := i.Counts
	doc := apiv1.Impact{
		Requests: n.Requests, Failed: n.Failed, Retried: n.Retried, Hedged: n.Hedged, Resumed: n.Resumed, Truncated: n.Truncated,
		MaybeApplied: n.MaybeApplied, ServerErrors: n.ServerErrors, LongestMS: n.LongestMS, Services: []apiv1.ServiceImpact{},
	}
	for id, n := range i.Services {
		doc.Services = append(doc.Services, apiv1.ServiceImpact{
			Service: string(id), Requests: n.Requests, Failed: n.Failed, Retried: n.Retried, Hedged: n.Hedged, Resumed: n.Resumed,
			Truncated: n.Truncated, MaybeApplied: n.MaybeApplied, ServerErrors: n.ServerErrors, LongestMS: n.LongestMS,
		})
	}
	slices.SortFunc(doc.Services, func(a, b apiv1.ServiceImpact) int { return strings.Compare(a.Service, b.Service) })
	return doc
}

// snapshot is what a scrape of /metrics shows.
func (c *control) snapshot() metrics.Snapshot {
	st := c.failover.Status()
	s := metrics.Snapshot{Epoch: st.Epoch, Buckets: c.buckets.said(c.estate.Load())}
	for _, t := range c.latest() {
		s.Traffic = append(s.Traffic, t)
	}
	for _, svc := range st.Services {
		for _, o := range svc.Origins {
			s.Verdicts = append(s.Verdicts, o.Verdict)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if open, err := c.desk.List(ctx, incident.Filter{States: []incident.State{incident.Open, incident.Monitoring}, Limit: 1000}); err == nil {
		s.IncidentsOpen = len(open)
	}
	return s
}
