// Package history remembers how much traffic services had a moment ago. It
// turns the counters of a Status, which only grow, into rates, and keeps the
// last ten minutes of some services in rings of fixed size.
//
//	h := history.New()
//	h.Add(status)                 // about once a second
//	r, ok := h.Rate("shop")       // now
//	points := h.Points("shop")    // the last ten minutes
//
// A [History] of ten services takes a few hundred KiB; of ten thousand it
// follows the first [Always] and those that were looked at last, at most
// [Looked] of them.
package history

import (
	"slices"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/apiv1"
)

// Bounds of what is kept.
const (
	Window = 600 // points of a service; ten minutes at one a second
	Always = 200 // services at the head of the estate that are always followed
	Looked = 50  // further ones, the last that were looked at
)

// Point is one service between two looks at its counters.
type Point struct {
	At     time.Time
	Rate   float64 // requests a second
	Failed float64 // requests a second that no origin answered
	Saved  float64 // retries, hedges and resumed bodies a second
	// Origins stand in the order of the service's, at the same index.
	Origins []Origin
}

// Origin is the part of a [Point] that went to one origin.
type Origin struct {
	Site  string
	Rate  float64 // attempts a second
	P95MS float64 // recent time to a response head; 0 = no attempts
}

// History is safe for concurrent use.
type History struct {
	mu     sync.Mutex
	tracks map[string]*track
	looked []string // the last one looked at stands last
}

// New gives an empty history.
func New() *History { return &History{tracks: map[string]*track{}} }

// Add takes what the counters say now.
func (h *History) Add(st apiv1.Status) {
	h.mu.Lock()
	defer h.mu.Unlock()
	seen := make(map[string]bool, len(h.tracks))
	for i := range st.Services {
		s := &st.Services[i]
		if i >= Always && !slices.Contains(h.looked, s.ID) {
			continue
		}
		t := h.tracks[s.ID]
		if t == nil || !t.fits(s) {
			t = newTrack(s)
			h.tracks[s.ID] = t
		}
		t.add(st.At, s)
		seen[s.ID] = true
	}
	for id := range h.tracks {
		if !seen[id] {
			delete(h.tracks, id)
		}
	}
}

// Look says that somebody looks at the services: they are followed from the
// next Add on.
func (h *History) Look(ids ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	ids = ids[:min(len(ids), Looked)]
	h.looked = slices.DeleteFunc(h.looked, func(id string) bool { return slices.Contains(ids, id) })
	h.looked = append(h.looked, ids...)
	h.looked = slices.Clone(h.looked[max(0, len(h.looked)-Looked):])
}

// Rate gives the newest point of a service; false while there is none.
func (h *History) Rate(service string) (Point, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.tracks[service]
	if t == nil || len(t.points) == 0 {
		return Point{}, false
	}
	return t.point((t.next + len(t.points) - 1) % len(t.points)), true
}

// Points gives what is kept of a service, oldest first.
func (h *History) Points(service string) []Point {
	h.mu.Lock()
	defer h.mu.Unlock()
	t := h.tracks[service]
	if t == nil {
		return nil
	}
	list := make([]Point, 0, len(t.points))
	for i := range t.points {
		list = append(list, t.point((t.next+i)%len(t.points)))
	}
	return list
}
