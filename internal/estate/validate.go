package estate

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Problem is one thing that is wrong with an estate. Message says it of the
// value at Path, as in "is not an http or https URL"; it never repeats a
// value, because a value may be a secret.
type Problem struct {
	Path    string   // as [Key] and [Index] build it
	Message string   // a predicate, no full stop
	Near    []string // names that were probably meant, best first
	// Lacks says that something is missing below Path, which a reader of a file
	// need not repeat when what stands there is at fault.
	Lacks bool
}

func (p Problem) String() string {
	s := p.Path + ": " + p.Message
	if len(p.Near) > 0 {
		s += fmt.Sprintf("; did you mean %q?", p.Near[0])
	}
	return s
}

// Validate gives all that is wrong with an estate, in the order of the file;
// none means that every part of Spare can rely on it. It expects the defaults
// to be filled in (see [Estate.Default]), and it does no I/O: it does not look
// whether a host resolves or a file exists.
func Validate(e *Estate) []Problem {
	v := &validator{e: e, sites: map[SiteID]bool{}, names: map[string]bool{}, searches: 200}
	v.header()
	v.siteList()
	v.collectNames()
	for i := range e.Services {
		v.service(&e.Services[i])
	}
	v.claims()
	for i := range e.Buckets {
		v.bucket(&e.Buckets[i])
	}
	v.places()
	v.credentials()
	for i := range e.Dependencies {
		v.dependency(&e.Dependencies[i])
	}
	if w := e.Notify.Webhook; w != nil {
		v.webhook(w)
	}
	return v.found
}

type validator struct {
	e         *Estate
	found     []Problem
	sites     map[SiteID]bool
	names     map[string]bool // what "needs" may name
	siteNames []string
	nameList  []string
	searches  int // how many more names may be looked for among their neighbours
}

func (v *validator) add(path, format string, args ...any) {
	v.found = append(v.found, Problem{Path: path, Message: fmt.Sprintf(format, args...)})
}

// lack reports that something is missing at path.
func (v *validator) lack(path, format string, args ...any) {
	v.add(path, format, args...)
	v.found[len(v.found)-1].Lacks = true
}

// unknown reports a name that is not among known. The search for neighbours
// is quadratic in the worst file, so only the first few names get one.
func (v *validator) unknown(path, word string, known []string, message string) {
	p := Problem{Path: path, Message: message}
	if v.searches > 0 {
		v.searches--
		p.Near = Near(word, known)
	}
	v.found = append(v.found, p)
}

func (v *validator) header() {
	l := v.e.Listen
	if v.e.Version != 1 {
		v.add("version", "is not a version that this Spare reads; it reads 1")
	}
	if v.e.Data == "" {
		v.add("data", "is empty")
	}
	http, okHTTP := address(l.HTTP)
	if !okHTTP {
		v.add("listen.http", "is not an address such as :80 or 127.0.0.1:8080")
	}
	v.listenS3(http, okHTTP)
	api, okAPI := address(l.API)
	if !okAPI {
		v.add("listen.api", "is not an address such as 127.0.0.1:7700")
		return
	}
	if okHTTP && http.clashes(api) {
		v.add("listen.api", "takes the port of listen.http")
	}
	if s3, ok := address(l.S3); ok && len(v.e.Buckets) > 0 && s3.clashes(api) {
		v.add("listen.api", "takes the port of listen.s3")
	}
	switch {
	case l.APITLS == nil && !loopback(api.host):
		v.add("listen.api", "is beyond loopback, which needs listen.api_tls with a certificate and a key")
	case l.APITLS != nil && (l.APITLS.Cert == "" || l.APITLS.Key == ""):
		v.lack("listen.api_tls", "needs both cert and key")
	}
}

func (v *validator) listenS3(http hostPort, okHTTP bool) {
	l := v.e.Listen
	s3, ok := address(l.S3)
	switch {
	case !ok:
		v.add("listen.s3", "is not an address such as :9000 or 127.0.0.1:9000")
	case okHTTP && len(v.e.Buckets) > 0 && s3.clashes(http):
		v.add("listen.s3", "takes the port of listen.http")
	}
	if _, err := netip.ParseAddr(l.S3Domain); l.S3Domain != "" && (err == nil || !hostName(l.S3Domain)) {
		v.add("listen.s3_domain", "is not a domain name such as s3.example.com")
	}
}

func (v *validator) siteList() {
	if len(v.e.Sites) == 0 {
		v.add("sites", "declares no site; there must be one at least")
	}
	for _, s := range v.e.Sites {
		at := Key("sites", string(s.ID))
		switch {
		case !label(string(s.ID)):
			v.add(at, notLabel)
		case v.sites[s.ID]:
			v.add(at, "is declared twice")
		}
		v.sites[s.ID] = true
		v.siteNames = append(v.siteNames, string(s.ID))
		v.word(at+".provider", s.Provider, "a provider, such as aws, gcp or self")
		v.word(at+".region", s.Region, "a region, such as us-east-1")
		if s.Zone != "" {
			v.word(at+".zone", s.Zone, "a zone, such as us-east-1a")
		}
	}
}

// collectNames learns the names of services, buckets and dependencies before
// any of them is judged, because a need may point forward.
func (v *validator) collectNames() {
	if len(v.e.Services) == 0 && len(v.e.Buckets) == 0 {
		v.add("services", "declares no service, nor does buckets a bucket; there must be one of either")
	}
	for _, s := range v.e.Services {
		if !label(string(s.ID)) {
			v.add(Key("services", string(s.ID)), notLabel)
		} else if v.names[string(s.ID)] {
			v.add(Key("services", string(s.ID)), "is declared twice")
		}
		v.name(string(s.ID))
	}
	for _, b := range v.e.Buckets {
		at := Key("buckets", string(b.ID))
		if len(b.ID) < 3 || !label(string(b.ID)) {
			v.add(at, "is not a name of a bucket: 3 to 63 lower-case letters, digits and '-', a letter or digit first and last")
		} else if v.names[string(b.ID)] {
			v.add(at, "is the name of another service or bucket, which needs could not tell apart")
		}
		v.name(string(b.ID))
	}
	for _, d := range v.e.Dependencies {
		at := Key("dependencies", string(d.ID))
		if !dependencyName(string(d.ID)) {
			v.add(at, "is not a name such as stripe or aws:dynamodb@us-east-1")
		} else if v.names[string(d.ID)] {
			v.add(at, "is the name of another service, bucket or dependency")
		}
		v.name(string(d.ID))
	}
}

func (v *validator) name(n string) {
	v.names[n] = true
	v.nameList = append(v.nameList, n)
}

func (v *validator) word(path, value, what string) {
	bad := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
	}
	if value == "" || len(value) > 63 || strings.IndexFunc(value, bad) >= 0 {
		v.add(path, "is not %s: lower-case letters, digits, '-', '_' and '.', at most 63 of them", what)
	}
}

func (v *validator) dependency(d *Dependency) {
	at := Key("dependencies", string(d.ID))
	if d.Check == nil && d.Statuspage == "" {
		v.lack(at, "needs a check, a status feed, or both")
	}
	if d.Check != nil {
		v.check(at+".check", d.Check)
		if d.URL == "" {
			v.lack(at+".check", "needs a url beside it that says what to check")
		}
	}
	if d.URL != "" {
		v.url(at+".url", d.URL, true)
	}
	if d.Statuspage != "" {
		v.url(at+".status.statuspage", d.Statuspage, true)
	}
}

func (v *validator) webhook(w *Webhook) {
	const at = "notify.webhook.url"
	u, ok := v.url(at, w.URL, true)
	if ok && !w.AllowPrivate && private(u.Hostname()) {
		v.add(at, "is a loopback, private or link-local address; set notify.webhook.allow_private: true if that is meant")
	}
}

// between reports a value outside its bounds, both included.
func between[N cmp.Ordered](v *validator, path string, n, low, high N) {
	if ok := n >= low && n <= high; !ok { // NaN is out of bounds too
		v.add(path, "is not between %v and %v", show(low), show(high))
	}
}

// show writes 1m0s as people do.
func show(v any) any {
	d, ok := v.(time.Duration)
	if !ok {
		return v
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// oneOf reports a value that is not in the list.
func oneOf[S ~string](v *validator, path string, value S, list ...S) {
	if !slices.Contains(list, value) {
		v.add(path, "is not one of %s", join(list))
	}
}

func join[S ~string](list []S) string {
	var b strings.Builder
	for i, s := range list {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(string(s))
	}
	return b.String()
}
