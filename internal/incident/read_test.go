package incident

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/state"
	"github.com/sparecloud/spare/internal/state/memstate"
)

func TestListSelectsAndPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memstate.New(), threeByTwo)
		r.start()
		for _, target := range []string{"shop@virginia", "api@belgium", "shop@virginia"} {
			r.desk.Verdict(down(target, health.CauseTimeout), health.Up)
			time.Sleep(time.Second)
			r.desk.Verdict(up(target), health.Down)
			time.Sleep(20 * time.Second)
		}
		r.desk.Verdict(down("blog@belgium", health.CauseTimeout), health.Up)
		time.Sleep(time.Second)
		r.stop()
		all := r.list()
		if len(all) != 4 || all[0].ID <= all[1].ID || all[1].ID <= all[2].ID {
			t.Fatalf("not newest first: %+v", all)
		}
		for _, c := range []struct {
			f    Filter
			want []int // places in all
		}{
			{Filter{States: []State{Open, Monitoring}}, []int{0}},
			{Filter{States: []State{Closed}}, []int{1, 2, 3}},
			{Filter{Service: "shop"}, []int{1, 3}},
			{Filter{Site: "belgium"}, []int{0, 2}},
			{Filter{Limit: 2}, []int{0, 1}},
			{Filter{Limit: 2, Before: all[1].ID}, []int{2, 3}},
			{Filter{Service: "none"}, nil},
		} {
			got, err := r.desk.List(t.Context(), c.f)
			if err != nil {
				t.Fatal(err)
			}
			var want []Incident
			for _, i := range c.want {
				want = append(want, all[i])
			}
			if d := cmp.Diff(ids(want), ids(got)); d != "" {
				t.Errorf("%+v: %s", c.f, d)
			}
		}
		if in, err := r.desk.Get(t.Context(), all[2].ID); err != nil || in.ID != all[2].ID {
			t.Errorf("got %+v, %v", in, err)
		}
		if _, err := r.desk.Timeline(t.Context(), "none"); !errs.Is(err, errs.NotFound) {
			t.Errorf("the timeline of no incident: %v", err)
		}
	})
}

func ids(list []Incident) string {
	var b strings.Builder
	for _, i := range list {
		fmt.Fprintln(&b, i.ID)
	}
	return b.String()
}

func TestGarbageInTheStoreStopsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstate.New()
		for _, key := range []string{openPrefix + "a", closedPrefix + "b", sourcePrefix + "c"} {
			if _, err := st.Put(t.Context(), key, []byte("{"), state.Absent); err != nil {
				t.Fatal(err)
			}
		}
		r := newRig(t, st, threeByTwo)
		r.start()
		r.desk.Verdict(down("shop@virginia", health.CauseTimeout), health.Up)
		r.desk.Traffic("c", time.Now(), []health.Traffic{{Service: "shop", Requests: 5}})
		time.Sleep(time.Second)
		r.stop()
		if in := r.only(); in.Impact.Requests != 5 || in.Site != "virginia" {
			t.Errorf("got %+v", in)
		}
		if _, err := r.desk.Get(t.Context(), "a"); !errs.Is(err, errs.Internal) {
			t.Errorf("got %v", err)
		}
	})
}

func TestWordsThatWaitAreBounded(t *testing.T) {
	p := newPlay(threeByTwo)
	for i := range 1000 {
		p.run(t, fmt.Sprintf("%d down shop@virginia", 2*i), fmt.Sprintf("%d up shop@virginia", 2*i+1))
	}
	r := p.b.running()[0]
	if len(r.Entries) > waitingMax || !strings.Contains(r.Entries[0].Entry.Message, "opened") {
		t.Errorf("%d entries wait, the first: %s", len(r.Entries), r.Entries[0].Entry.Message)
	}
}
