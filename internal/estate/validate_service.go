package estate

import (
	"math"
	"net/url"
	"slices"
	"strings"
	"time"
)

func (v *validator) service(s *Service) {
	at := Key("services", string(s.ID))
	v.hosts(at, s)
	v.paths(at, s)
	oneOf(v, at+".policy", s.Policy, Primary, Balance)
	oneOf(v, at+".writes", s.Writes, WritesAnywhere, WritesOneSite)
	oneOf(v, at+".failback", s.Failback, FailbackAuto, FailbackManual)
	v.origins(at, s)
	v.check(at+".check", &s.Check)
	v.needs(at, s)
	v.objective(at+".objective", s.Objective)
	if !(s.CostPerHour >= 0) || math.IsInf(s.CostPerHour, 0) {
		v.add(at+".cost_per_hour", "is not an amount of money")
	}
	between(v, at+".confirm", s.Confirm, 3*time.Second, 10*time.Second)
	v.fence(at+".fence", s)
	v.limits(at+".limits", s.Limits)
}

func (v *validator) hosts(at string, s *Service) {
	for i, h := range s.Hosts {
		switch {
		case !hostPattern(h):
			v.add(Index(at+".hosts", i), "is not a host name such as shop.example.com or *.example.com, without scheme, port and path")
		case slices.Contains(s.Hosts[:i], h):
			v.add(Index(at+".hosts", i), "stands in this list twice")
		}
	}
}

func (v *validator) paths(at string, s *Service) {
	for i, p := range s.Paths {
		switch {
		case !cleanPath(p):
			v.add(Index(at+".paths", i), `is not a path prefix such as / or /api, without "?", "#", spaces and ".."`)
		case slices.Contains(s.Paths[:i], p):
			v.add(Index(at+".paths", i), "stands in this list twice")
		}
	}
}

func (v *validator) origins(at string, s *Service) {
	at += ".origins"
	if len(s.Origins) == 0 {
		v.lack(at, "names no origin; there must be one at least")
		return
	}
	weights := 0
	for i, o := range s.Origins {
		here := Key(at, string(o.Site))
		// With no sites at all one problem says so; a hundred more would hide it.
		if !v.sites[o.Site] && len(v.e.Sites) > 0 {
			v.unknown(here, string(o.Site), v.siteNames, "is not a site; declare it under sites")
		}
		for _, earlier := range s.Origins[:i] {
			if earlier.Site == o.Site {
				v.add(here, "is declared twice")
				break
			}
		}
		v.url(here+".url", o.URL, false)
		between(v, here+".weight", o.Weight, 0, 1000)
		weights += o.Weight
		if o.Host != "" && !hostHeader(o.Host) {
			v.add(here+".host", "is not a host name, with or without a port")
		}
	}
	if s.Policy == Balance && weights == 0 {
		v.lack(at, "have no weight between them; under policy balance one at least needs some")
	}
}

func (v *validator) check(at string, c *Check) {
	oneOf(v, at, c.Kind, CheckHTTP, CheckTCP)
	if c.Kind == CheckHTTP {
		if !requestPath(c.Path) {
			v.add(at+".http.path", "is not a request path such as /healthz")
		}
		if c.Host != "" && !hostHeader(c.Host) {
			v.add(at+".http.host", "is not a host name, with or without a port")
		}
		for i, code := range c.Status {
			between(v, Index(at+".http.status", i), code, 100, 599)
		}
	}
	between(v, at+".every", c.Every, 10*time.Millisecond, time.Hour)
	between(v, at+".fresh", c.Fresh, 10*time.Millisecond, 24*time.Hour)
	between(v, at+".timeout", c.Timeout, time.Millisecond, time.Minute)
	between(v, at+".down_after", c.DownAfter, 1, 100)
	between(v, at+".up_after", c.UpAfter, 1, 100)
}

func (v *validator) needs(at string, s *Service) {
	for i, n := range s.Needs {
		here := Index(at+".needs", i)
		switch {
		case n == string(s.ID):
			v.add(here, "is the service itself")
		case slices.Contains(s.Needs[:i], n):
			v.add(here, "stands in this list twice")
		case !v.names[n] && !providerService(n):
			v.unknown(here, n, v.nameList, "is neither a service, a bucket nor a dependency of this file")
		}
	}
}

func (v *validator) objective(at string, o Objective) {
	if o.RTO < 0 {
		v.add(at+".rto", "is negative")
	}
	if o.RPO < 0 {
		v.add(at+".rpo", "is negative")
	}
	if !(o.Availability >= 0 && o.Availability <= 100) {
		v.add(at+".availability", "is not a percentage; write 99.95 for 99.95 %%")
	}
}

func (v *validator) fence(at string, s *Service) {
	f := s.Fence
	if f == nil {
		return
	}
	if s.Writes != WritesOneSite {
		v.add(at, "would never run: only writes: one_site has a fence")
	}
	if (f.URL == "") == (len(f.Command) == 0) {
		v.lack(at, "needs either url or command")
	}
	if f.URL != "" {
		v.url(at+".url", f.URL, true)
	}
	if len(f.Command) > 0 && f.Command[0] == "" {
		v.add(Index(at+".command", 0), "is not a program")
	}
	between(v, at+".timeout", f.Timeout, time.Millisecond, 10*time.Minute)
}

func (v *validator) limits(at string, l Limits) {
	if l.Body < 1 || l.Body > 1<<40 {
		v.add(at+".body", "is not between 1B and 1024GiB")
	}
	between(v, at+".timeout", l.Timeout, time.Millisecond, time.Hour)
	between(v, at+".hedge.delay", l.Hedge.Delay, 0, time.Minute)
	if b := l.Hedge.Budget; !(b > 0 && b <= 1) {
		v.add(at+".hedge.budget", "is not a share above 0 and up to 1; write off: true for no hedging")
	}
}

// claims reports services that would answer the same requests: the one that
// stands later in the file is at fault.
func (v *validator) claims() {
	type claim struct{ host, path string }
	type owner struct {
		id ServiceID
		at string
	}
	owned := map[claim]owner{}
	for _, s := range v.e.Services {
		at := Key("services", string(s.ID))
		hosts := s.Hosts
		if len(hosts) == 0 {
			hosts = []string{""}
		}
		for i, h := range hosts {
			here := at
			if h != "" {
				here = Index(at+".hosts", i)
			}
			for _, p := range s.Paths {
				c := claim{h, "/" + strings.Trim(p, "/")}
				first, taken := owned[c]
				if !taken {
					owned[c] = owner{s.ID, at}
				} else if first.id != s.ID {
					v.add(here, "claims a host and path that %s claims already", first.at)
					v.found[len(v.found)-1].Lacks = h == "" // hosts, perhaps
					break
				}
			}
		}
	}
}

// url reports what is not an absolute http or https URL, and what such a URL
// must not carry: user and password always, a query unless it is allowed.
func (v *validator) url(path, raw string, query bool) (*url.URL, bool) {
	u, err := url.Parse(raw)
	var what string
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", !hostHeader(u.Host), unprintable(raw):
		what = "is not an http or https URL such as https://shop.example.com"
	case u.User != nil:
		what = "holds a user name or password; a URL must not"
	case u.Fragment != "":
		what = `holds a fragment, "#...", which is never sent`
	case !query && (u.RawQuery != "" || u.ForceQuery):
		what = `holds a query, "?...", which an origin's URL must not`
	default:
		return u, true
	}
	v.add(path, "%s", what)
	return nil, false
}
