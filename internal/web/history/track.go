package history

import (
	"time"

	"github.com/sparecloud/spare/internal/apiv1"
)

// track is the ring of one service. It grows to its size as it is filled: most
// estates are small, and most consoles are looked at soon after a start.
type track struct {
	sites  []string
	points []point
	shares []share // of points[i]: shares[i*len(sites):]
	next   int     // where the next point goes once the ring is full

	at      time.Time // of last
	last    apiv1.Traffic
	origins []uint64 // as of at: the attempts of each
}

type point struct {
	at                  int64 // ms since 1970
	rate, failed, saved float32
}

type share struct{ rate, p95 float32 }

func newTrack(s *apiv1.Service) *track {
	t := &track{sites: make([]string, len(s.Origins))}
	for i, o := range s.Origins {
		t.sites[i] = o.Site
	}
	return t
}

// fits reports whether the service still has the origins of the track.
func (t *track) fits(s *apiv1.Service) bool {
	if len(t.sites) != len(s.Origins) {
		return false
	}
	for i, o := range s.Origins {
		if t.sites[i] != o.Site {
			return false
		}
	}
	return true
}

// add takes the counters of now. The first ones give no rate.
func (t *track) add(at time.Time, s *apiv1.Service) {
	first, gap := t.at.IsZero(), at.Sub(t.at).Seconds()
	if !first && gap <= 0 {
		return
	}
	if !first {
		now, was := s.Traffic, t.last
		t.push(point{
			at: at.UnixMilli(), rate: per(now.Requests, was.Requests, gap), failed: per(now.Failed, was.Failed, gap),
			saved: per(now.Retried+now.Hedged+now.Resumed, was.Retried+was.Hedged+was.Resumed, gap),
		}, t.split(s, gap))
	}
	t.at, t.last = at, s.Traffic
	t.origins = t.origins[:0]
	for _, o := range s.Origins {
		t.origins = append(t.origins, o.Requests)
	}
}

func (t *track) split(s *apiv1.Service, gap float64) []share {
	list := make([]share, len(s.Origins))
	for i, o := range s.Origins {
		list[i].rate = per(o.Requests, t.origins[i], gap)
		if list[i].rate > 0 { // the time of one that gets nothing is of long ago
			list[i].p95 = float32(o.P95MS)
		}
	}
	return list
}

// per gives a counter's growth a second. One that fell began anew, with
// another data process.
func per(now, was uint64, gap float64) float32 {
	if now < was {
		was = 0
	}
	return float32(float64(now-was) / gap)
}

func (t *track) push(p point, s []share) {
	if len(t.points) < Window {
		t.points = append(t.points, p)
		t.shares = append(t.shares, s...)
		return
	}
	t.points[t.next] = p
	copy(t.shares[t.next*len(t.sites):], s)
	t.next = (t.next + 1) % Window
}

func (t *track) point(i int) Point {
	p := t.points[i]
	out := Point{
		At: time.UnixMilli(p.at).UTC(), Rate: float64(p.rate), Failed: float64(p.failed), Saved: float64(p.saved),
		Origins: make([]Origin, len(t.sites)),
	}
	for k, s := range t.shares[i*len(t.sites) : (i+1)*len(t.sites)] {
		out.Origins[k] = Origin{Site: t.sites[k], Rate: float64(s.rate), P95MS: float64(s.p95)}
	}
	return out
}
