package incident

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
)

var epoch = time.Date(2026, 11, 22, 15, 4, 5, 0, time.UTC)

// play drives a book with one step a line: "<seconds> <what> <target>", with
// what one of down, up, degraded, eject, readmit, and "tick" alone.
type play struct {
	b   *book
	seq map[string]uint64
}

func newPlay(e *estate.Estate) *play {
	return &play{newBook(New(Options{Estate: e}).opt), map[string]uint64{}}
}

func (p *play) at(sec float64) time.Time { return epoch.Add(time.Duration(sec * float64(time.Second))) }

func (p *play) run(t *testing.T, steps ...string) {
	t.Helper()
	for _, s := range steps {
		var sec float64
		var what, target string
		if n, _ := fmt.Sscan(s, &sec, &what, &target); n < 2 {
			t.Fatalf("bad step %q", s)
		}
		now := p.at(sec)
		verdict := func(st health.State, c health.Cause) {
			p.b.verdict(now, health.Verdict{Target: tgt(target), State: st, Since: now, Cause: c})
		}
		event := func(k health.EventKind) {
			p.seq["d1"]++
			p.b.event(now, health.Event{Source: "d1", Seq: p.seq["d1"], At: now, Kind: k, Target: tgt(target), Cause: health.CauseTimeout})
		}
		switch what {
		case "down":
			verdict(health.Down, health.CauseRefused)
		case "up":
			verdict(health.Up, "")
		case "degraded":
			verdict(health.Degraded, health.CauseStatus)
		case "unknown":
			verdict(health.Unknown, "")
		case "eject":
			event(health.Ejected)
		case "readmit":
			event(health.Readmitted)
		case "tick":
			p.b.tick(now)
		default:
			t.Fatalf("bad step %q", s)
		}
	}
}

// sum gives the incidents as "<state> <site or -> <services>", in order.
func (p *play) sum() []string {
	var rs []*record
	for _, r := range p.b.records {
		rs = append(rs, r)
	}
	slices.SortFunc(rs, byID)
	var out []string
	for _, r := range rs {
		site := string(r.Incident.Site)
		if site == "" {
			site = "-"
		}
		var svcs []string
		for _, s := range r.Incident.Services {
			svcs = append(svcs, string(s))
		}
		out = append(out, fmt.Sprintf("%s %s %s", r.Incident.State, site, strings.Join(svcs, ",")))
	}
	return out
}

func TestWhatFailsTogetherIsOneIncident(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps []string
		want  []string
	}{
		{"one origin", []string{"0 down shop@virginia"}, []string{"open virginia shop"}},
		{"services of one site", []string{"0 down shop@virginia", "0.5 down api@virginia", "9 eject blog@virginia"},
			[]string{"open virginia api,blog,shop"}},
		{"verdict and ejection of one origin", []string{"0 eject shop@virginia", "1 down shop@virginia"}, []string{"open virginia shop"}},
		{"one service at several sites is a fault of the service", []string{"0 down shop@virginia", "20 down shop@belgium"},
			[]string{"open - shop"}},
		{"one service at several sites, long apart", []string{"0 down shop@virginia", "61 down shop@belgium"},
			[]string{"open virginia shop", "open belgium shop"}},
		{"two sites with several services", []string{"0 down shop@virginia", "0.1 down api@virginia", "1 down shop@belgium", "1.1 down api@belgium"},
			[]string{"open virginia api,shop", "open belgium api,shop"}},
		{"another service at a site of a service's fault", []string{"0 down shop@virginia", "1 down shop@belgium", "2 down api@virginia"},
			[]string{"open - shop", "open virginia api"}},
		{"two services at two sites", []string{"0 down shop@virginia", "1 down api@belgium"}, []string{"open virginia shop", "open belgium api"}},
		{"degraded alone hurts nobody", []string{"0 degraded shop@virginia"}, nil},
		{"undeclared origin", []string{"0 down shop@mars", "0 eject ghost@virginia"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlay(threeByTwo)
			p.run(t, c.steps...)
			if d := cmp.Diff(c.want, p.sum()); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestIncidentClosesOnceAllItHoldsStayedWell(t *testing.T) {
	for _, c := range []struct {
		name  string
		steps []string
		want  []string
	}{
		{"well again, hold-down runs", []string{"0 down shop@virginia", "5 up shop@virginia", "14.9 tick"}, []string{"monitoring virginia shop"}},
		{"held down long enough", []string{"0 down shop@virginia", "5 up shop@virginia", "15 tick"}, []string{"closed virginia shop"}},
		{"one of two is still down", []string{"0 down shop@virginia", "0 down api@virginia", "5 up shop@virginia", "60 tick"}, []string{"open virginia api,shop"}},
		{"still ejected", []string{"0 eject shop@virginia", "1 down shop@virginia", "5 up shop@virginia", "20 tick"}, []string{"open virginia shop"}},
		{"ejected and readmitted", []string{"0 eject shop@virginia", "5 readmit shop@virginia", "15 tick"}, []string{"closed virginia shop"}},
		{"degraded is not well", []string{"0 down shop@virginia", "5 degraded shop@virginia", "60 tick"}, []string{"open virginia shop"}},
		{"unknown is not well", []string{"0 down shop@virginia", "5 unknown shop@virginia", "60 tick"}, []string{"open virginia shop"}},
		{"flapping continues the incident", []string{"0 down shop@virginia", "5 up shop@virginia", "12 down shop@virginia", "17 tick", "18 up shop@virginia", "27 tick"},
			[]string{"monitoring virginia shop"}},
		{"another service of the site continues it", []string{"0 down shop@virginia", "5 up shop@virginia", "12 down api@virginia", "17 tick"},
			[]string{"open virginia api,shop"}},
		{"a fault after the end is a new incident", []string{"0 down shop@virginia", "5 up shop@virginia", "15 tick", "16 down shop@virginia"},
			[]string{"closed virginia shop", "open virginia shop"}},
		{"one that recovered after an ejection was known late", []string{"0 eject shop@virginia", "0 readmit shop@virginia", "10 tick"}, []string{"closed virginia shop"}},
		{"a silent data process has no say", []string{"0 eject shop@virginia", "31 tick", "41 tick"}, []string{"closed virginia shop"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := newPlay(threeByTwo)
			p.run(t, c.steps...)
			if d := cmp.Diff(c.want, p.sum()); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestOriginLeavingTheEstateLetsTheIncidentEnd(t *testing.T) {
	p := newPlay(threeByTwo)
	p.run(t, "0 down shop@virginia")
	p.b.load(p.at(5), estateOf("shop@belgium", "api@virginia"))
	p.run(t, "15 tick")
	if d := cmp.Diff([]string{"closed virginia shop"}, p.sum()); d != "" {
		t.Error(d)
	}
}

// event hands in an event with a time and number of its own.
func (p *play) event(now, at float64, seq uint64, k health.EventKind, target string) {
	p.b.event(p.at(now), health.Event{Source: "d9", Seq: seq, At: p.at(at), Kind: k, Target: tgt(target), Cause: health.CauseReset})
}

func TestLateEventsTellTheirOwnTime(t *testing.T) {
	p := newPlay(threeByTwo)
	// The control process was dead; everything arrives at once at 100 s.
	p.run(t, "99 down shop@virginia")
	p.event(100, 40, 1, health.Ejected, "shop@virginia")
	p.event(100, 60, 2, health.Readmitted, "shop@virginia")
	r := p.b.running()[0]
	if got, want := r.Incident.Opened, p.at(40); !got.Equal(want) {
		t.Errorf("opened %v, want %v", got, want)
	}
	if got, want := r.Incident.Times.Ejected, p.at(40); !got.Equal(want) {
		t.Errorf("ejected %v, want %v", got, want)
	}
}

func TestLateEventsOfTwoFaultsMakeTwoIncidents(t *testing.T) {
	p := newPlay(threeByTwo)
	p.event(1000, 100, 1, health.Ejected, "shop@virginia")
	p.event(1000, 110, 2, health.Readmitted, "shop@virginia")
	p.report(1000, "d9", shop(500, 3, 0, 0)) // the first report after a long time
	p.event(1000, 900, 3, health.Ejected, "shop@virginia")
	if d := cmp.Diff([]string{"closed virginia shop", "open virginia shop"}, p.sum()); d != "" {
		t.Fatal(d)
	}
	if d := cmp.Diff(Counts{Requests: 500, Retried: 3}, p.b.running()[0].Incident.Impact.Counts); d != "" {
		t.Error(d)
	}
	for _, r := range p.b.closed() {
		if d := cmp.Diff(Counts{}, r.Incident.Impact.Counts); d != "" {
			t.Error(d)
		}
		if !r.Incident.Closed.Equal(p.at(120)) {
			t.Errorf("closed %v, want when its hold-down was over, %v", r.Incident.Closed, p.at(120))
		}
	}
}

func TestEventsDeliveredTwiceCountOnce(t *testing.T) {
	p := newPlay(threeByTwo)
	for range 2 {
		p.event(1, 1, 1, health.Ejected, "shop@virginia")
		p.event(2, 2, 2, health.Readmitted, "shop@virginia")
	}
	p.run(t, "12 tick")
	for range 2 {
		p.event(13, 1, 1, health.Ejected, "shop@virginia")
		p.event(13, 2, 2, health.Readmitted, "shop@virginia")
	}
	p.run(t, "13 tick", "2000 tick")
	p.event(2000, 1, 1, health.Ejected, "shop@virginia") // long forgotten, but for its number
	if d := cmp.Diff([]string{"closed virginia shop"}, p.sum()); d != "" {
		t.Error(d)
	}
}

func TestLateEvidenceAboutAClosedIncidentOpensNoOther(t *testing.T) {
	p := newPlay(threeByTwo)
	p.run(t, "0 down shop@virginia", "5 up shop@virginia", "15 tick")
	p.event(20, 3, 1, health.Ejected, "shop@virginia") // from a second data process that was cut off
	p.run(t, "21 tick")
	if d := cmp.Diff([]string{"closed virginia shop"}, p.sum()); d != "" {
		t.Fatal(d)
	}
	p.run(t, "29 tick") // the other process has not taken it back for as long as the hold-down
	p.run(t, "31 tick")
	if d := cmp.Diff([]string{"closed virginia shop", "open virginia shop"}, p.sum()); d != "" {
		t.Fatal(d)
	}
}

func TestSequenceIsFreshOnce(t *testing.T) {
	s := &source{}
	var got []bool
	for _, n := range []uint64{1, 2, 2, 5, 4, 5, 3, 3, 1, 6, 0, 0} {
		got = append(got, s.fresh(n))
	}
	want := []bool{true, true, false, true, true, false, true, false, false, true, true, true}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	if s.Seq != 6 || len(s.Ahead) != 0 {
		t.Errorf("watermark %d, %d ahead; want 6, 0", s.Seq, len(s.Ahead))
	}
	for n := range uint64(10000) {
		s.fresh(100 + 2*n)
	}
	if len(s.Ahead) > aheadMax {
		t.Errorf("%d events remembered", len(s.Ahead))
	}
}

func TestIDsSortByTimeAndStayUnique(t *testing.T) {
	last := ""
	for i := range 2000 {
		id := idAt(epoch.Truncate(24*time.Hour).Add(time.Duration(i)*43*time.Second), 0)
		if id <= last {
			t.Fatalf("%s after %s", id, last)
		}
		last = id
	}
	p := newPlay(threeByTwo)
	p.run(t, "0 down shop@virginia", "0 down api@belgium")
	if len(p.b.records) != 2 {
		t.Fatalf("%d incidents at one moment, want 2", len(p.b.records))
	}
}
