package edge

import (
	"net"
	"sort"
	"strings"

	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/route"
)

// routing is a table made ready for look-ups. It is immutable.
type routing struct {
	table    *route.Table
	services []*service
	byID     map[estate.ServiceID]*service
	exact    map[string][]pathRoute
	wild     map[string][]pathRoute // "*.example.com" under ".example.com"
	any      []pathRoute
}

type pathRoute struct {
	prefix string
	s      *service
}

// service is one service under one table.
type service struct {
	cfg     *route.Service
	live    *live
	origins []candidate // as in the table
}

func newRouting(t *route.Table) *routing {
	return &routing{table: t, byID: map[estate.ServiceID]*service{}, exact: map[string][]pathRoute{}, wild: map[string][]pathRoute{}}
}

func (r *routing) add(s *service) {
	r.services = append(r.services, s)
	r.byID[s.cfg.ID] = s
	paths := s.cfg.Paths
	if len(paths) == 0 {
		paths = []string{"/"}
	}
	for _, p := range paths {
		one := pathRoute{prefix: strings.TrimSuffix(p, "/"), s: s}
		if len(s.cfg.Hosts) == 0 {
			r.any = insert(r.any, one)
		}
		for _, h := range s.cfg.Hosts {
			h = strings.ToLower(strings.TrimSuffix(h, "."))
			if suffix, ok := strings.CutPrefix(h, "*"); ok {
				r.wild[suffix] = insert(r.wild[suffix], one)
			} else {
				r.exact[h] = insert(r.exact[h], one)
			}
		}
	}
}

// insert keeps routes in order of falling prefix length, so that the first
// match is the longest.
func insert(routes []pathRoute, one pathRoute) []pathRoute {
	i := sort.Search(len(routes), func(i int) bool { return len(routes[i].prefix) < len(one.prefix) })
	routes = append(routes, pathRoute{})
	copy(routes[i+1:], routes[i:])
	routes[i] = one
	return routes
}

// find gives the service for a Host field and a request path, or nil: the
// exact host first, then the longest wildcard, then services for every host;
// within a host the longest path.
func (r *routing) find(host, path string) *service {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if s := byPath(r.exact[host], path); s != nil {
		return s
	}
	for rest := host; len(r.wild) > 0; {
		dot := strings.IndexByte(rest, '.')
		if dot < 0 {
			break
		}
		if s := byPath(r.wild[rest[dot:]], path); s != nil {
			return s
		}
		rest = rest[dot+1:]
	}
	return byPath(r.any, path)
}

// byPath matches prefixes at segment ends: "/api" holds "/api" and "/api/x",
// not "/apix".
func byPath(routes []pathRoute, path string) *service {
	for _, r := range routes {
		if strings.HasPrefix(path, r.prefix) && (len(path) == len(r.prefix) || path[len(r.prefix)] == '/' || r.prefix == "") {
			return r.s
		}
	}
	return nil
}
