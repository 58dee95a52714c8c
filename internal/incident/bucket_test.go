package incident

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/state/memstate"
)

// shopAndMedia is a service at two sites, and a bucket that keeps objects at
// both and heads at a third.
func shopAndMedia() *estate.Estate {
	e := estateOf("shop@virginia", "shop@belgium")
	e.Sites = append(e.Sites, estate.Site{ID: "basement"})
	e.Buckets = []estate.Bucket{{ID: "media", Replicas: []estate.Replica{
		{Site: "virginia", File: "/a"}, {Site: "belgium", File: "/b"}, {Site: "basement", File: "/c", Witness: true}}}}
	return e
}

// lose gives a verdict that a replica or an origin is down.
func (r *rig) lose(target string, c health.Cause) {
	r.desk.Verdict(down(target, c), health.Up)
	time.Sleep(2 * time.Second)
}

func TestIncidentOfABucketReadsWell(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memstate.New(), shopAndMedia())
		r.start()
		defer r.stop()
		r.lose("bucket/media@virginia", health.CauseRefused)
		in := r.only()
		got := []string{in.Title, in.Causes[0].Text, string(in.Causes[0].Kind)}
		want := []string{"bucket media fails at virginia", "bucket media at virginia refuses connections: the provider is gone, or nothing listens there", string(OriginRefuses)}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
		r.desk.Verdict(up("bucket/media@virginia"), health.Down)
		time.Sleep(12 * time.Second)
		if in := r.only(); in.State != Closed {
			t.Errorf("state %s", in.State)
		}
		last := r.journal.entries[len(r.journal.entries)-1].Message
		if want := "incident " + in.ID + " closed after 12s: bucket media fails at virginia"; last != want {
			t.Errorf("got %q, want %q", last, want)
		}
	})
}

func TestSiteWithServicesAndBucketsIsOneIncident(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, memstate.New(), shopAndMedia())
		r.start()
		defer r.stop()
		r.lose("shop@virginia", health.CauseRefused)
		if got := r.only().Title; got != "shop fails at virginia" {
			t.Errorf("the site is said to be down while its replica is well: %q", got)
		}
		r.lose("bucket/media@virginia", health.CauseTimeout)
		in := r.only()
		if in.Title != "virginia is down (shop and bucket media)" || !slices.Equal(in.Services, []estate.ServiceID{"bucket/media", "shop"}) {
			t.Errorf("got %q, %v", in.Title, in.Services)
		}
		if want := "every origin and replica at virginia was unwell at once (shop and bucket media): the site is down or cut off"; in.Causes[0].Text != want {
			t.Errorf("got %q", in.Causes[0].Text)
		}
	})
}

// A bucket with objects at two of three sites refuses PUTs without one of them,
// and answers nothing without two.
func TestSeverityFollowsWhatABucketCanDo(t *testing.T) {
	for _, c := range []struct {
		lost   []estate.SiteID
		change func(*estate.Bucket)
		want   Severity
	}{
		{[]estate.SiteID{"basement"}, nil, Minor},
		{[]estate.SiteID{"virginia"}, nil, Major},
		{[]estate.SiteID{"virginia"}, func(b *estate.Bucket) { b.Degraded = true }, Minor},
		{[]estate.SiteID{"virginia"}, func(b *estate.Bucket) { b.Replicas[2].Witness = false }, Minor},
		{[]estate.SiteID{"virginia", "basement"}, nil, Critical},
		{[]estate.SiteID{"virginia", "belgium"}, func(b *estate.Bucket) { b.Degraded = true }, Critical},
	} {
		synctest.Test(t, func(t *testing.T) {
			e := shopAndMedia()
			if c.change != nil {
				c.change(&e.Buckets[0])
			}
			r := newRig(t, memstate.New(), e)
			r.start()
			defer r.stop()
			for _, site := range c.lost {
				r.lose("bucket/media@"+string(site), health.CauseRefused)
			}
			if in := r.only(); in.Severity != c.want {
				t.Errorf("without %v: %s, want %s (%s)", c.lost, in.Severity, c.want, in.Title)
			}
		})
	}
}
