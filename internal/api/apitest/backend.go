// Package apitest has a [Backend] in memory, for tests of the API and of the
// programs that speak to it. It checks its callers: an action that the API
// should have refused is a panic.
//
//	b := apitest.New()
//	srv := api.New(api.Options{Backend: b, ...})
//	b.Append(journal.Entry{Kind: journal.KindSwitch, Message: "shop moved"})
package apitest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/api"
	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/journal"
	"github.com/sparecloud/spare/internal/report"
)

// Backend holds the shop of [New]. Its fields may be set before it is used.
type Backend struct {
	mu       sync.Mutex
	Doc      apiv1.Status
	List     []apiv1.Incident // newest first
	Err      error            // every method's error, when set
	NotReady error
	log      []journal.Entry
	actions  []api.Action
}

// New gives a shop with an origin in virginia, which is down, and one in
// belgium, a bucket at both with a witness, one open and one closed incident,
// and a few entries.
func New() *Backend {
	b := &Backend{Doc: status(), List: incidents()}
	for _, e := range record() {
		b.Append(e)
	}
	return b
}

// Append writes an entry down under the next ID.
func (b *Backend) Append(e journal.Entry) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e.ID = int64(len(b.log) + 1)
	e.Recorded = e.At
	b.log = append(b.log, e)
}

// Fail makes every method answer with err; nil ends that.
func (b *Backend) Fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.Err = err
}

// Actions gives what was done so far, dry runs left out.
func (b *Backend) Actions() []api.Action {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.actions)
}

// Status gives Doc.
func (b *Backend) Status(context.Context) (apiv1.Status, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Doc, b.Err
}

// Incidents gives what q selects of List.
func (b *Backend) Incidents(_ context.Context, q apiv1.IncidentQuery) ([]apiv1.Incident, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if q.Limit < 1 {
		panic(fmt.Sprintf("limit %d", q.Limit))
	}
	var out []apiv1.Incident
	for _, i := range b.List {
		closed := i.State == apiv1.IncidentClosed
		if (q.State == "" || closed == (q.State == apiv1.IncidentClosed)) && (q.Before == "" || i.ID < q.Before) {
			out = append(out, i)
		}
	}
	return out[:min(q.Limit, len(out))], b.Err
}

// Incident gives one of List.
func (b *Backend) Incident(_ context.Context, id string) (apiv1.Incident, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, i := range b.List {
		if i.ID == id {
			return i, b.Err
		}
	}
	return apiv1.Incident{}, errs.E(errs.NotFound, "there is no incident %q", id)
}

// Timeline gives the entries of an incident.
func (b *Backend) Timeline(ctx context.Context, id string) ([]journal.Entry, error) {
	list, _, err := b.Entries(ctx, journal.Query{Incident: id, Oldest: true, Limit: apiv1.MaxLimit})
	return list, err
}

// Background gives a minute of traffic, and what the estate says of the shop.
func (b *Backend) Background(_ context.Context, in apiv1.Incident) (api.Background, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return api.Background{
		Samples: samples(in), Told: true, Version: b.Doc.Version, Now: b.Doc.At,
		Services: []report.Service{{ID: "shop", Sites: []string{"virginia", "belgium"}, RTO: 5 * time.Second, Availability: 99.95, CostPerHour: 12000, Unwatched: []string{"stripe"}}},
	}, b.Err
}

// Entries gives a page of what was appended.
func (b *Backend) Entries(_ context.Context, q journal.Query) ([]journal.Entry, bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if q.Limit < 1 || q.Limit > apiv1.MaxLimit {
		panic(fmt.Sprintf("limit %d", q.Limit))
	}
	list := slices.DeleteFunc(slices.Clone(b.log), func(e journal.Entry) bool { return !selects(q, e) })
	if !q.Oldest {
		slices.Reverse(list)
	}
	more := len(list) > q.Limit
	if more {
		list = list[:q.Limit]
	}
	return list, more, b.Err
}

func selects(q journal.Query, e journal.Entry) bool {
	return (q.Before == 0 || e.ID < q.Before) && e.ID > q.After &&
		(q.From.IsZero() || !e.At.Before(q.From)) && (q.To.IsZero() || e.At.Before(q.To)) &&
		(len(q.Kinds) == 0 || slices.Contains(q.Kinds, e.Kind)) &&
		(q.Service == "" || q.Service == e.Service) && (q.Site == "" || q.Site == e.Site) &&
		(q.Incident == "" || q.Incident == e.Incident) &&
		strings.Contains(strings.ToLower(e.Message), strings.ToLower(q.Text))
}

// Act drains and freezes the services of Doc. It refuses to drain the last
// origin that is not down unless forced.
func (b *Backend) Act(_ context.Context, a api.Action) (apiv1.Outcome, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if a.Verb.NeedsSite() != (a.Site != "") || a.Verb.Expires() != (a.For > 0) || a.Actor == "" {
		panic(fmt.Sprintf("action that should have been refused: %+v", a))
	}
	if b.Err != nil {
		return apiv1.Outcome{}, b.Err
	}
	i := slices.IndexFunc(b.Doc.Services, func(s apiv1.Service) bool { return s.ID == string(a.Service) })
	if i < 0 {
		return apiv1.Outcome{}, errs.E(errs.NotFound, "service %q is not in the estate", a.Service)
	}
	out, err := b.apply(&b.Doc.Services[i], a)
	if err == nil && !a.DryRun {
		b.actions = append(b.actions, a)
	}
	return out, err
}

func (b *Backend) apply(s *apiv1.Service, a api.Action) (apiv1.Outcome, error) {
	if a.Site != "" && !slices.ContainsFunc(s.Origins, func(o apiv1.Origin) bool { return o.Site == string(a.Site) }) {
		return apiv1.Outcome{}, errs.E(errs.NotFound, "service %q has no origin at %q", a.Service, a.Site)
	}
	others := func(o apiv1.Origin) bool { return o.Site != string(a.Site) && o.State != "down" }
	if a.Verb == apiv1.Drain && !a.Force && !slices.ContainsFunc(s.Origins, others) {
		return apiv1.Outcome{}, errs.WithHint(errs.E(errs.Conflict, "%s is the last healthy origin of %s", a.Site, a.Service), "use --force")
	}
	out := apiv1.Outcome{Service: s.ID, Verb: a.Verb, DryRun: a.DryRun, Epoch: b.Doc.Epoch}
	out.Steps = []string{strings.TrimSpace(fmt.Sprintf("%s %s %s", a.Verb, a.Service, a.Site))}
	if a.Verb.Expires() {
		out.Until = b.Doc.At.Add(a.For)
	}
	if a.DryRun {
		return out, nil
	}
	b.Doc.Epoch++
	out.Epoch = b.Doc.Epoch
	kind := strings.TrimPrefix(string(a.Verb), "un")
	s.Overrides = slices.DeleteFunc(slices.Clone(s.Overrides), func(o apiv1.Override) bool { return o.Kind == kind && o.Site == string(a.Site) })
	if a.Verb.Expires() {
		s.Overrides = append(s.Overrides, apiv1.Override{Kind: kind, Site: string(a.Site), Until: out.Until, Reason: a.Reason, Actor: a.Actor})
	}
	return out, nil
}

// Reload changes nothing and says so.
func (b *Backend) Reload(_ context.Context, actor string) (apiv1.Reload, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if actor == "" {
		panic("reload without an actor")
	}
	return apiv1.Reload{Estate: b.Doc.Estate, Epoch: b.Doc.Epoch}, b.Err
}

// Ready gives NotReady.
func (b *Backend) Ready(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.NotReady
}

// Noon is the time at which the shop of [New] was looked at.
var Noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func target(site estate.SiteID, e journal.Entry) journal.Entry {
	e.Service, e.Site = "shop", site
	return e
}
