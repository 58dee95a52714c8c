package incident

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/journal"
	"github.com/sparecloud/spare/internal/notify"
	"github.com/sparecloud/spare/internal/state"
	"github.com/sparecloud/spare/internal/state/memstate"
)

// memJournal is a journal in memory, with the real one's contract.
type memJournal struct {
	mu      sync.Mutex
	entries []journal.Entry
	down    bool
}

func (j *memJournal) Append(_ context.Context, entries ...journal.Entry) ([]journal.Entry, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.down {
		return nil, errs.E(errs.Unavailable, "journal down")
	}
	var out []journal.Entry
	for _, e := range entries {
		i := slices.IndexFunc(j.entries, func(o journal.Entry) bool { return e.Dedup != "" && o.Dedup == e.Dedup })
		if i < 0 {
			i = len(j.entries)
			e.ID = int64(i + 1)
			j.entries = append(j.entries, e)
		}
		out = append(out, j.entries[i])
	}
	return out, nil
}

func (j *memJournal) Query(_ context.Context, q journal.Query) (journal.Page, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.down {
		return journal.Page{}, errs.E(errs.Unavailable, "journal down")
	}
	if !q.Oldest { // only the newest of all
		p := journal.Page{}
		if n := len(j.entries); n > 0 {
			p = journal.Page{Entries: j.entries[n-1:], Next: int64(n)}
		}
		return p, nil
	}
	p := journal.Page{Next: q.After}
	for _, e := range j.entries {
		switch {
		case e.ID <= q.After, q.Incident != "" && e.Incident != q.Incident,
			q.Site != "" && e.Site != q.Site, q.Service != "" && e.Service != q.Service,
			!q.From.IsZero() && e.At.Before(q.From), !q.To.IsZero() && !e.At.Before(q.To),
			len(q.Kinds) > 0 && !slices.Contains(q.Kinds, e.Kind):
		case len(p.Entries) == q.Limit:
			p.More = true
			return p, nil
		default:
			p.Entries = append(p.Entries, e)
			p.Next = e.ID
		}
	}
	return p, nil
}

// changes gives the changes that the journal holds of an incident, in order.
func (j *memJournal) changes(id string) []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []string
	for _, e := range j.entries {
		if e.Kind != journal.KindIncident || e.Incident != id {
			continue
		}
		var d struct{ Change string }
		_ = json.Unmarshal(e.Data, &d)
		out = append(out, d.Change)
	}
	return out
}

// faultStore fails one transaction, by number, in one of two ways; and every
// one after the crash, if one is set.
type faultStore struct {
	*memstate.Store
	mu      sync.Mutex
	n       int
	failAt  int
	applied bool // the failing one takes effect all the same
	crash   bool // nothing works from there on
}

func (s *faultStore) Txn(ctx context.Context, ops ...state.Op) (state.Revision, error) {
	s.mu.Lock()
	s.n++
	hit, dead := s.n == s.failAt, s.crash && s.failAt > 0 && s.n > s.failAt
	applied := s.applied
	s.mu.Unlock()
	switch {
	case dead:
		return 0, errs.E(errs.Unavailable, "store down")
	case hit && applied:
		if _, err := s.Store.Txn(ctx, ops...); err != nil {
			return 0, err
		}
		return 0, errs.MaybeApplied(errs.E(errs.Unavailable, "answer lost"))
	case hit:
		return 0, errs.E(errs.Unavailable, "store down")
	}
	return s.Store.Txn(ctx, ops...)
}

func (s *faultStore) writes() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.n
}

// rig is a Desk with everything around it.
type rig struct {
	t       *testing.T
	opt     Options
	journal *memJournal
	desk    *Desk
	stop    func()
	mu      sync.Mutex
	notices []notify.Notice
}

func newRig(t *testing.T, st state.Store, e *estate.Estate) *rig {
	r := &rig{t: t, journal: &memJournal{}}
	r.opt = Options{
		Store: st, Journal: r.journal, Estate: e, Log: slog.New(slog.DiscardHandler),
		Notify: func(_ context.Context, n notify.Notice) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.notices = append(r.notices, n)
			return nil
		},
	}
	return r
}

// start runs a new Desk, as after a restart of the process.
func (r *rig) start() {
	r.desk = New(r.opt)
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan struct{})
	go func() { defer close(done); _ = r.desk.Run(ctx) }()
	r.stop = func() { cancel(); <-done }
}

// told gives the notices sent, each once, in order.
func (r *rig) told() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, n := range r.notices {
		if !slices.Contains(out, n.ID) {
			out = append(out, n.ID)
		}
	}
	return out
}

func (r *rig) list(states ...State) []Incident {
	r.t.Helper()
	l, err := r.desk.List(r.t.Context(), Filter{States: states})
	if err != nil {
		r.t.Fatal(err)
	}
	return l
}

// only gives the single incident that there must be.
func (r *rig) only() Incident {
	r.t.Helper()
	l := r.list()
	if len(l) != 1 {
		r.t.Fatalf("%d incidents, want one: %+v", len(l), l)
	}
	return l[0]
}

func down(target string, c health.Cause) health.Verdict {
	return health.Verdict{Target: tgt(target), State: health.Down, Since: time.Now(), Cause: c}
}

func up(target string) health.Verdict {
	return health.Verdict{Target: tgt(target), State: health.Up, Since: time.Now()}
}

func tgt(s string) estate.Target {
	svc, site, _ := strings.Cut(s, "@")
	return estate.Target{Service: estate.ServiceID(svc), Site: estate.SiteID(site)}
}

// estateOf declares services by their targets: "shop@virginia", ...
func estateOf(targets ...string) *estate.Estate {
	e := &estate.Estate{}
	for _, s := range targets {
		t := tgt(s)
		if _, ok := e.Site(t.Site); !ok {
			e.Sites = append(e.Sites, estate.Site{ID: t.Site})
		}
		svc, ok := e.Service(t.Service)
		if !ok {
			e.Services = append(e.Services, estate.Service{ID: t.Service})
			svc = &e.Services[len(e.Services)-1]
		}
		svc.Origins = append(svc.Origins, estate.Origin{Site: t.Site})
	}
	return e
}

var threeByTwo = estateOf("shop@virginia", "shop@belgium", "api@virginia", "api@belgium", "blog@virginia", "blog@belgium")
