package edge

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/route"
)

// open reports whether new requests may go to the candidate at all.
func (c candidate) open() bool { return c.State != route.Drained }

// plan gives the origins that a request may go to, best first. Origins that
// are out stand last: when nothing else serves, they are still asked (fail
// open).
func (s *service) plan(safe bool, now time.Time) []candidate {
	if !safe && s.cfg.Writes == estate.WritesOneSite {
		return s.writerOnly() // drained or not: writes leave a site by the table's move alone
	}
	if safe && !s.cfg.SpareReads && s.cfg.Policy == estate.Primary {
		active := s.only(s.writer())
		oneSite := s.cfg.Writes == estate.WritesOneSite
		if len(active) > 0 && (oneSite || active[0].tier() != tierOut) {
			return active
		}
	}
	list := make([]candidate, 0, len(s.origins))
	for _, c := range s.origins {
		if c.open() {
			list = append(list, c)
		}
	}
	if s.cfg.Policy == estate.Balance {
		shuffle(list, now)
	} else {
		s.preferActive(list, now)
	}
	slices.SortStableFunc(list, func(a, b candidate) int { return a.tier() - b.tier() })
	return list
}

// writer is the site that takes unsafe requests.
func (s *service) writer() estate.SiteID {
	if s.cfg.Active != "" {
		return s.cfg.Active
	}
	return s.cfg.Origins[0].Site
}

func (s *service) writerOnly() []candidate {
	for _, c := range s.origins {
		if c.Site == s.writer() {
			return []candidate{c}
		}
	}
	return nil
}

func (s *service) only(site estate.SiteID) []candidate {
	for _, c := range s.origins {
		if c.Site == site && c.open() {
			return []candidate{c}
		}
	}
	return nil
}

// preferActive puts the active site first; while it starts slowly, part of
// its requests go to the next serving origin.
func (s *service) preferActive(list []candidate, now time.Time) {
	site := s.writer()
	if i := slices.IndexFunc(list, func(c candidate) bool { return c.Site == site }); i > 0 {
		first := list[i]
		copy(list[1:i+1], list[:i])
		list[0] = first
	}
	for i := 0; i+1 < len(list); i++ {
		if list[i].tier() != tierServing {
			continue
		}
		if share := list[i].o.share(now); share < 1 && rand.Float64() >= share {
			next := slices.IndexFunc(list[i+1:], func(c candidate) bool { return c.tier() == tierServing })
			if next >= 0 {
				list[i], list[i+1+next] = list[i+1+next], list[i]
			}
		}
		return
	}
}

// shuffle orders by weighted chance: each place is drawn among the rest by
// weight times slow-start share. Weight 0 comes last.
func shuffle(list []candidate, now time.Time) {
	weigh := func(c candidate) float64 { return float64(c.Weight) * c.o.share(now) }
	total := 0.0
	for _, c := range list {
		total += weigh(c)
	}
	for i := range list {
		pick := rand.Float64() * total
		for k := i; k < len(list); k++ {
			w := weigh(list[k])
			if pick -= w; pick < 0 || k == len(list)-1 {
				if w == 0 { // rounding ran past the last weight: take a weighted one, if any is left
					k = max(slices.IndexFunc(list[i:], func(c candidate) bool { return c.Weight > 0 })+i, i)
					w = weigh(list[k])
				}
				list[i], list[k] = list[k], list[i]
				total -= w
				break
			}
		}
	}
}
