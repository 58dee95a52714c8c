package incident

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/journal"
	"github.com/sparecloud/spare/internal/state/memstate"
)

// sites gives a shop's counts with its attempts at two sites.
func sites(requests, failed, virginia, belgium uint64) health.Traffic {
	t := shop(requests, 0, failed, 0)
	t.Origins = []health.OriginTraffic{{Site: "virginia", Requests: virginia, P95NS: 4e6}, {Site: "belgium", Requests: belgium, P95NS: 5e6}}
	return t
}

// samples gives what the only incident has written and still holds.
func (p *play) samples(t *testing.T) []Sample {
	t.Helper()
	var entries []journal.Entry
	rs := append(p.b.running(), p.b.closed()...)
	if len(rs) != 1 {
		t.Fatalf("%d incidents, want one", len(rs))
	}
	for _, w := range rs[0].Entries {
		if w.Entry.Kind == journal.KindTelemetry {
			entries = append(entries, w.Entry)
		}
	}
	return append(samplesOf(entries), rs[0].Series.Pending...)
}

func TestSamplesBeginBeforeTheIncidentAndFollowTraffic(t *testing.T) {
	p := newPlay(threeByTwo)
	for i := range uint64(40) { // ten seconds of 4 reports, all at virginia
		p.report(float64(i)*0.25, "d1", sites(10*i, 0, 10*i, 0))
	}
	p.run(t, "9.8 down shop@virginia")
	for i := range uint64(40) {
		p.report(10+float64(i)*0.25, "d1", sites(400+10*i, 2, 390, 10*(i+1)))
	}
	list := p.samples(t)
	if len(list) != 20 || !list[0].From.Equal(p.at(0)) || !list[19].To.Equal(p.at(20)) {
		t.Fatalf("%d samples: %+v", len(list), list)
	}
	var requests, failed, virginia, belgium uint64
	for i, s := range list {
		if s.To.Sub(s.From) != time.Second || i > 0 && !s.From.Equal(list[i-1].To) {
			t.Errorf("sample %d is from %s to %s", i, s.From, s.To)
		}
		requests, failed = requests+s.Requests, failed+s.Failed
		virginia, belgium = virginia+s.Sites["virginia"].Attempts, belgium+s.Sites["belgium"].Attempts
	}
	if requests != 790 || failed != 2 || virginia != 390 || belgium != 400 {
		t.Errorf("requests %d, failed %d, at virginia %d, at belgium %d", requests, failed, virginia, belgium)
	}
	if s := list[10]; s.Services["shop"].Hurt != 2 || s.Sites["belgium"].P95MS != 5 {
		t.Errorf("sample of the failures: %+v", s)
	}
}

func TestNoRequestsAndNoReportsAreTwoThings(t *testing.T) {
	p := newPlay(threeByTwo)
	p.report(0, "d1", shop(100, 0, 0, 0))
	p.run(t, "0.5 down shop@virginia")
	for i := 1; i < 4; i++ {
		p.report(float64(i), "d1", shop(100, 0, 0, 0)) // nobody asks
	}
	p.report(10, "d1", shop(160, 0, 0, 0)) // the first word for a while
	p.report(11, "d1", shop(170, 0, 0, 0))
	var got []string
	for _, s := range p.samples(t) {
		got = append(got, fmt.Sprintf("%v-%v %d", s.From.Sub(p.at(0)).Seconds(), s.To.Sub(p.at(0)).Seconds(), s.Requests))
	}
	want := []string{"0-1 100", "1-2 0", "2-3 0", "3-4 0", "4-11 60", "11-12 10"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

func TestSamplesOfALongIncidentStayFew(t *testing.T) {
	p := newPlay(threeByTwo)
	p.run(t, "0 down shop@virginia")
	r := p.b.running()[0]
	n := uint64(0)
	var bytes int
	for sec := 0.0; sec < 3*24*3600; sec += 5 {
		n += 50
		p.report(sec, "d1", shop(n, 0, 1, 0))
		r.writeSamples(p.at(sec), false)
		for _, w := range r.Entries {
			bytes += len(w.Entry.Data)
		}
		if len(r.Entries) > 50 {
			r.Entries = nil // handed on
		}
		if len(r.Series.Pending) > samplesWait {
			t.Fatalf("%d samples wait", len(r.Series.Pending))
		}
	}
	if r.Series.Written > 600 || r.Series.Written < 100 {
		t.Errorf("%d journal entries in three days", r.Series.Written)
	}
}

func TestSamplesThatCannotBeWrittenAreJoinedAndNotLost(t *testing.T) {
	p := newPlay(threeByTwo)
	p.run(t, "0 down shop@virginia")
	r := p.b.running()[0]
	n := uint64(0)
	for sec := 1; sec < 4000; sec++ { // the journal takes nothing
		n += 10
		p.report(float64(sec), "d1", sites(n, n/10, n, 0))
		r.writeSamples(p.at(float64(sec)), false)
	}
	var sum, hurt uint64
	for _, s := range p.samples(t) {
		sum, hurt = sum+s.Requests, hurt+s.Services["shop"].Hurt
	}
	if sum != n || hurt != n/10 {
		t.Errorf("%d of %d requests, %d of %d hurt", sum, n, hurt, n/10)
	}
	if len(r.Entries) > waitingMax || len(r.Series.Pending) > samplesWait {
		t.Errorf("%d entries and %d samples wait", len(r.Entries), len(r.Series.Pending))
	}
}

func TestAnEntryOfManySitesAndServicesFitsTheJournal(t *testing.T) {
	b := newBook(Options{})
	r := b.open(time.Unix(0, 0), "")
	for i := range samplesEach {
		at := time.Unix(int64(i), 0)
		for svc := range 300 {
			d := &delta{at: at, counts: Counts{Requests: 1 << 40, Failed: 1 << 40}}
			for site := range 100 {
				d.sites = append(d.sites, siteDelta{estate.SiteID(fmt.Sprintf("%060d", site)), 1 << 40, 1 << 40, 12345.678901})
			}
			r.sample(estate.ServiceID(fmt.Sprintf("%060d", svc)), d)
		}
	}
	r.writeSamples(time.Unix(3600, 0), true)
	if len(r.Entries) != 1 {
		t.Fatalf("%d entries", len(r.Entries))
	}
	if n := len(r.Entries[0].Entry.Data); n > journal.MaxEntryBytes*3/4 {
		t.Errorf("an entry of %d bytes", n)
	}
	if s := samplesOf([]journal.Entry{r.Entries[0].Entry}); len(s) != samplesEach || !s[0].Cut {
		t.Errorf("%d samples, cut %v", len(s), s[0].Cut)
	}
}

// What the samples tell is stored with the counters that it was taken from: a
// control process that dies at any moment leaves no request out, and counts
// none twice.
func TestSamplesSurviveARestart(t *testing.T) {
	r := newRig(t, memstate.New(), threeByTwo)
	r.start()
	begin := time.Now()
	r.desk.Traffic("d1", begin, []health.Traffic{shop(100, 0, 0, 0)})
	r.desk.Verdict(down("shop@virginia", health.CauseRefused), health.Up)
	r.wait(func(in Incident) bool { return in.State == Open })
	in := r.only()
	n := uint64(100)
	for i := range 3 {
		n += 50
		r.desk.Traffic("d1", begin.Add(time.Duration(i+1)*50*time.Millisecond), []health.Traffic{shop(n, 0, 3, 0)})
		r.wait(func(in Incident) bool { return in.Impact.Requests >= n })
		r.stop()
		r.start()
	}
	list, err := r.desk.Samples(t.Context(), in.ID)
	if err != nil {
		t.Fatal(err)
	}
	sum := Counts{}
	for _, s := range list {
		sum = sum.plus(s.Counts)
	}
	if sum.Requests != n || sum.Failed != 3 {
		t.Errorf("the samples have %d requests and %d failed, want %d and 3", sum.Requests, sum.Failed, n)
	}
	lines, err := r.desk.Timeline(t.Context(), in.ID)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range lines {
		if l.Kind == journal.KindTelemetry {
			t.Error("counts in the timeline")
		}
	}
}

func TestSampleIsOneFlatObject(t *testing.T) {
	b, err := json.Marshal(Sample{Counts: Counts{Requests: 3}})
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil || m["requests"] != 3.0 {
		t.Errorf("%s %v", b, err)
	}
}
