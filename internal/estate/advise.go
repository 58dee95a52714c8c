package estate

import "strings"

// Advise gives what is allowed and yet probably not meant: a service that has
// no spare, a promise that the settings cannot keep, a bucket that nobody may
// use. It expects an estate in which [Validate] finds nothing.
func Advise(e *Estate) []Problem {
	a := &validator{e: e}
	sites := map[SiteID]Site{}
	used := map[SiteID]bool{}
	for _, s := range e.Sites {
		sites[s.ID] = s
	}
	for i := range e.Services {
		s := &e.Services[i]
		for _, o := range s.Origins {
			used[o.Site] = true
		}
		a.spare(s, sites)
		a.promise(s)
	}
	a.access()
	for i := range e.Buckets {
		b := &e.Buckets[i]
		for _, r := range b.Replicas {
			used[r.Site] = true
		}
		a.weigh(b, sites)
	}
	a.domains(used)
	return a.found
}

// spare says where a service stands with one leg only.
func (v *validator) spare(s *Service, sites map[SiteID]Site) {
	at := Key("services", string(s.ID))
	if len(s.Origins) == 1 {
		v.add(at+".origins", "has one site only: nothing takes over when that goes down")
		return
	}
	first := sites[s.Origins[0].Site]
	sameRegion, sameProvider := true, true
	urls := map[string]bool{}
	for _, o := range s.Origins {
		site := sites[o.Site]
		sameProvider = sameProvider && site.Provider == first.Provider
		sameRegion = sameRegion && site.Region == first.Region
		if urls[strings.TrimSuffix(o.URL, "/")] {
			v.add(Key(at+".origins", string(o.Site))+".url", "is the URL of another origin of this service: it is no spare")
		}
		urls[strings.TrimSuffix(o.URL, "/")] = true
	}
	if sameProvider && sameRegion {
		v.add(at+".origins", "are all in one region of one provider: its outage takes them all")
	}
}

// promise compares a recovery time objective with what the settings allow.
func (v *validator) promise(s *Service) {
	at := Key("services", string(s.ID)) + ".objective.rto"
	switch {
	case s.Objective.RTO == 0:
	case s.Writes == WritesOneSite && s.Objective.RTO < s.Confirm:
		v.add(at, "is below confirm: writes move %v after a site goes down at the earliest", show(s.Confirm))
	case s.Writes == WritesOneSite && s.Fence != nil && s.Objective.RTO < s.Confirm+s.Fence.Timeout:
		v.add(at, "is below confirm plus the fence's timeout, %v together", show(s.Confirm+s.Fence.Timeout))
	}
}

// domains says which sites share their fate, and which serve nothing.
func (v *validator) domains(used map[SiteID]bool) {
	type region struct{ provider, region string }
	first := map[region]SiteID{}
	for _, s := range v.e.Sites {
		at := Key("sites", string(s.ID))
		r := region{s.Provider, s.Region}
		if other, ok := first[r]; ok {
			v.add(at, "is in the same provider and region as site %s: one outage takes both", other)
		} else {
			first[r] = s.ID
		}
		if !used[s.ID] {
			v.add(at, "serves nothing: no service has an origin and no bucket a replica there")
		}
	}
}
