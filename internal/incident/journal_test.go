package incident

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/journal"
	"github.com/sparecloud/spare/internal/state/memstate"
)

// The real journal keeps what the tests' own one promises.
func TestTimelineFromARealJournal(t *testing.T) {
	j, err := journal.Open(t.Context(), filepath.Join(t.TempDir(), "journal.db"), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	}()
	r := newRig(t, memstate.New(), threeByTwo)
	r.opt.Journal, r.opt.Hold = j, 100*time.Millisecond
	r.start()
	begin := time.Now().UTC()
	write := func(e journal.Entry) {
		t.Helper()
		if _, err := j.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	write(journal.Entry{At: begin.Add(-time.Hour), Kind: journal.KindVerdict, Service: "shop", Site: "virginia", Message: "long before"})
	write(journal.Entry{At: begin.Add(-time.Second), Kind: journal.KindReload, Service: "shop", Message: "just before"})
	write(journal.Entry{At: begin.Add(-time.Second), Kind: journal.KindVerdict, Service: "blog", Site: "belgium", Message: "elsewhere"})
	write(journal.Entry{At: begin, Kind: journal.KindVerdict, Level: journal.Error, Service: "shop", Site: "virginia", Message: "the verdict"})
	r.desk.Verdict(down("shop@virginia", health.CauseTimeout), health.Up)
	r.wait(func(in Incident) bool { return in.State == Open && len(in.Evidence) == 1 })
	write(journal.Entry{At: begin, Kind: journal.KindEject, Level: journal.Warn, Service: "shop", Site: "virginia", Message: "an ejection, written late"})
	r.wait(func(in Incident) bool { return len(in.Evidence) == 2 && len(in.Causes[0].Entries) == 2 })
	r.desk.Verdict(up("shop@virginia"), health.Down)
	r.wait(func(in Incident) bool { return in.State == Closed })
	in := r.only()
	r.stop()

	lines, err := r.desk.Timeline(t.Context(), in.ID)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for i, l := range lines {
		if l.ID == 0 || l.Certainty == "" || i > 0 && l.At.Before(lines[i-1].At) {
			t.Errorf("line %d: %+v", i, l)
		}
		m := l.Message
		if l.Kind == journal.KindIncident {
			m = m[:len("incident "+in.ID)+3]
		}
		got = append(got, m)
	}
	p := "incident " + in.ID
	if d := cmp.Diff([]string{"just before", "the verdict", "an ejection, written late", p + " op", p + ": a", p + " cl"}, got); d != "" {
		t.Error(d)
	}
}

// wait waits for the only incident to be as wanted.
func (r *rig) wait(want func(Incident) bool) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 20*time.Second)
	defer cancel()
	for {
		l := r.list()
		if len(l) == 1 && want(l[0]) {
			return
		}
		select {
		case <-ctx.Done():
			r.t.Fatalf("not within 20 s: %+v", l)
		case <-time.After(10 * time.Millisecond):
		}
	}
}
