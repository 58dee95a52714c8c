package estate

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// sound gives an estate in which nothing is wrong and nothing is odd.
func sound() *Estate {
	shop := NewService("shop")
	shop.Hosts = []string{"shop.example.com"}
	for _, site := range []SiteID{"virginia", "belgium"} {
		o := NewOrigin(site)
		o.URL = fmt.Sprintf("https://shop-%s.example.com", site)
		shop.Origins = append(shop.Origins, o)
	}
	shop.Needs = []string{"stripe", "aws:dynamodb@us-east-1"}
	e := &Estate{
		Sites: []Site{
			{ID: "virginia", Provider: "aws", Region: "us-east-1"},
			{ID: "belgium", Provider: "gcp", Region: "europe-west1"},
		},
		Services:     []Service{shop},
		Dependencies: []Dependency{{ID: "stripe", Statuspage: "https://status.example.com"}},
	}
	e.Default()
	return e
}

func lines(list []Problem) []string {
	var out []string
	for _, p := range list {
		out = append(out, p.String())
	}
	return out
}

func TestSoundEstateHasNoProblem(t *testing.T) {
	e := sound()
	if got := Validate(e); len(got) > 0 {
		t.Errorf("problems: %v", lines(got))
	}
	if got := Advise(e); len(got) > 0 {
		t.Errorf("advice: %v", lines(got))
	}
}

func TestEachRuleNamesThePathAtFault(t *testing.T) {
	shop := func(change func(*Service)) func(*Estate) {
		return func(e *Estate) { change(&e.Services[0]) }
	}
	for _, c := range []struct {
		want   string // "path: part of the message"
		change func(*Estate)
	}{
		{"version: is not a version", func(e *Estate) { e.Version = 2 }},
		{"data: is empty", func(e *Estate) { e.Data = "" }},
		{"listen.http: is not an address", func(e *Estate) { e.Listen.HTTP = "80" }},
		{"listen.http: is not an address", func(e *Estate) { e.Listen.HTTP = ":65536" }},
		{"listen.api: is beyond loopback", func(e *Estate) { e.Listen.API = ":7700" }},
		{"listen.api: is beyond loopback", func(e *Estate) { e.Listen.API = "[::]:7700" }},
		{"listen.api: is beyond loopback", func(e *Estate) { e.Listen.API = "10.0.0.1:7700" }},
		{"listen.api: takes the port", func(e *Estate) { e.Listen.API = "127.0.0.1:80" }},
		{"listen.api_tls: needs both", func(e *Estate) { e.Listen.APITLS = &KeyPair{Cert: "x"} }},
		{"sites: declares no site", func(e *Estate) { e.Sites = nil }},
		{"sites.Rome: is not a name", func(e *Estate) { e.Sites = append(e.Sites, Site{ID: "Rome", Provider: "aws", Region: "x"}) }},
		{"sites.belgium: is declared twice", func(e *Estate) { e.Sites = append(e.Sites, e.Sites[1]) }},
		{"sites.virginia.provider: is not a provider", func(e *Estate) { e.Sites[0].Provider = "" }},
		{"sites.virginia.region: is not a region", func(e *Estate) { e.Sites[0].Region = "US East" }},
		{"services: declares no service, nor does buckets a bucket", func(e *Estate) { e.Services = nil }},
		{`services["a.b"]: is not a name`, shop(func(s *Service) { s.ID = "a.b" })},
		{"services.shop.hosts[0]: is not a host name", shop(func(s *Service) { s.Hosts[0] = "shop.example.com:80" })},
		{"services.shop.hosts[0]: is not a host name", shop(func(s *Service) { s.Hosts[0] = "*shop.example.com" })},
		{"services.shop.hosts[1]: stands in this list twice", shop(func(s *Service) { s.Hosts = append(s.Hosts, s.Hosts[0]) })},
		{"services.shop.paths[0]: is not a path prefix", shop(func(s *Service) { s.Paths = []string{"/a//b"} })},
		{"services.shop.policy: is not one of primary, balance", shop(func(s *Service) { s.Policy = "any" })},
		{"services.shop.origins: names no origin", shop(func(s *Service) { s.Origins = nil })},
		{`services.shop.origins.belgum: is not a site; declare it under sites; did you mean "belgium"?`, shop(func(s *Service) { s.Origins[1].Site = "belgum" })},
		{"services.shop.origins.belgium.url: is not an http or https URL", shop(func(s *Service) { s.Origins[1].URL = "https://" })},
		{"services.shop.origins.belgium.url: is not an http or https URL", shop(func(s *Service) { s.Origins[1].URL = "https://a:0/" })},
		{"services.shop.origins.belgium.url: holds a user name", shop(func(s *Service) { s.Origins[1].URL = "https://a:b@c" })},
		{"services.shop.origins.belgium.url: holds a query", shop(func(s *Service) { s.Origins[1].URL = "https://c?" })},
		{"services.shop.origins.belgium.weight: is not between 0 and 1000", shop(func(s *Service) { s.Origins[1].Weight = -1 })},
		{"services.shop.origins: have no weight", shop(func(s *Service) { s.Policy = Balance; s.Origins[0].Weight, s.Origins[1].Weight = 0, 0 })},
		{"services.shop.check.http.path: is not a request path", shop(func(s *Service) { s.Check.Path = "/a\r\nHost: b" })},
		{"services.shop.check.http.status[0]: is not between 100 and 599", shop(func(s *Service) { s.Check.Status = []int{20} })},
		{"services.shop.check.every: is not between 10ms and 1h", shop(func(s *Service) { s.Check.Every = time.Millisecond })},
		{"services.shop.needs[0]: is the service itself", shop(func(s *Service) { s.Needs = []string{"shop"} })},
		{`services.shop.needs[0]: is neither a service, a bucket nor a dependency of this file; did you mean "stripe"?`, shop(func(s *Service) { s.Needs = []string{"strip"} })},
		{"services.shop.objective.availability: is not a percentage", shop(func(s *Service) { s.Objective.Availability = math.NaN() })},
		{"services.shop.cost_per_hour: is not an amount", shop(func(s *Service) { s.CostPerHour = math.Inf(1) })},
		{"services.shop.confirm: is not between 3s and 10s", shop(func(s *Service) { s.Confirm = 11 * time.Second })},
		{"services.shop.fence: would never run", shop(func(s *Service) { s.Fence = &Fence{URL: "https://f", Timeout: time.Second} })},
		{"services.shop.fence: needs either url or command", shop(func(s *Service) { s.Writes = WritesOneSite; s.Fence = &Fence{Timeout: time.Second} })},
		{"services.shop.limits.body: is not between", shop(func(s *Service) { s.Limits.Body = -1 })},
		{"services.shop.limits.hedge.budget: is not a share", shop(func(s *Service) { s.Limits.Hedge.Budget = 2 })},
		{`dependencies["a b"]: is not a name`, func(e *Estate) { e.Dependencies[0].ID = "a b"; e.Services[0].Needs = nil }},
		{"dependencies.shop: is the name of another", func(e *Estate) { e.Dependencies[0].ID = "shop"; e.Services[0].Needs = nil }},
		{"dependencies.stripe: needs a check, a status feed, or both", func(e *Estate) { e.Dependencies[0].Statuspage = "" }},
		{"dependencies.stripe.status.statuspage: is not an http", func(e *Estate) { e.Dependencies[0].Statuspage = "x" }},
		{"notify.webhook.url: is a loopback", func(e *Estate) { e.Notify.Webhook = &Webhook{URL: "http://169.254.169.254/latest"} }},
		{"notify.webhook.url: is a loopback", func(e *Estate) { e.Notify.Webhook = &Webhook{URL: "http://[::ffff:127.0.0.1]/"} }},
		{"notify.webhook.url: is a loopback", func(e *Estate) { e.Notify.Webhook = &Webhook{URL: "http://[::ffff:0.0.0.0]/"} }},
	} {
		e := sound()
		c.change(e)
		got := Validate(e)
		if len(got) != 1 || !strings.HasPrefix(got[0].String(), c.want) {
			t.Errorf("want only %q, got %q", c.want, lines(got))
		}
	}
}

func TestTwoServicesMayNotClaimTheSameRequests(t *testing.T) {
	for _, c := range []struct {
		hosts, paths []string
		clash        bool
	}{
		{[]string{"shop.example.com"}, nil, true},
		{[]string{"shop.example.com"}, []string{"/api"}, false},
		{[]string{"SHOP.example.com"}, []string{"/api", "/"}, true},
		{[]string{"*.example.com"}, nil, false},
		{nil, nil, false}, // every other host
	} {
		e := sound()
		second := NewService("second")
		second.Hosts, second.Paths, second.Origins = c.hosts, c.paths, e.Services[0].Origins
		e.Services = append(e.Services, second)
		e.Default()
		if got := Validate(e); (len(got) > 0) != c.clash {
			t.Errorf("hosts %v, paths %v: problems %v, want clash %v", c.hosts, c.paths, lines(got), c.clash)
		}
	}
}

func TestDefaultsDependOnWrites(t *testing.T) {
	e := sound()
	s := e.Services[0]
	if s.Failback != FailbackAuto || !s.SpareReads || s.Origins[0].Weight != 1 || s.Check.Path != "/" {
		t.Errorf("defaults: %+v", s)
	}
	e.Services[0].Writes, e.Services[0].Failback = WritesOneSite, ""
	e.Default()
	if got := e.Services[0].Failback; got != FailbackManual {
		t.Errorf("failback of one_site is %q, want manual", got)
	}
}

func TestDefaultChangesNothingTheSecondTime(t *testing.T) {
	e := sound()
	before := fmt.Sprintf("%+v", *e)
	e.Default()
	if diff := cmp.Diff(before, fmt.Sprintf("%+v", *e)); diff != "" {
		t.Error(diff)
	}
}

func TestAdvice(t *testing.T) {
	for _, c := range []struct {
		want   string
		change func(*Estate)
	}{
		{"services.shop.origins: has one site only", func(e *Estate) { e.Services[0].Origins = e.Services[0].Origins[:1] }},
		{"services.shop.origins: are all in one region", func(e *Estate) { e.Sites[1] = Site{ID: "belgium", Provider: "aws", Region: "us-east-1", Zone: "b"} }},
		{"sites.belgium: is in the same provider and region as site virginia", func(e *Estate) { e.Sites[1] = Site{ID: "belgium", Provider: "aws", Region: "us-east-1"} }},
		{"sites.belgium: serves nothing", func(e *Estate) { e.Services[0].Origins = e.Services[0].Origins[:1] }},
		{"services.shop.origins.belgium.url: is the URL of another origin", func(e *Estate) { e.Services[0].Origins[1].URL = e.Services[0].Origins[0].URL + "/" }},
		{"services.shop.objective.rto: is below confirm", func(e *Estate) {
			e.Services[0].Writes, e.Services[0].Objective.RTO = WritesOneSite, 4*time.Second
		}},
	} {
		e := sound()
		c.change(e)
		if p := Validate(e); len(p) > 0 {
			t.Errorf("%s: not valid: %v", c.want, lines(p))
		}
		found := false
		for _, p := range Advise(e) {
			found = found || strings.HasPrefix(p.String(), c.want)
		}
		if !found {
			t.Errorf("want %q, got %q", c.want, lines(Advise(e)))
		}
	}
}

func TestNearOffersOnlyWhatIsNear(t *testing.T) {
	known := []string{"origins", "hosts", "http", "tcp", "url", "api", "needs"}
	for word, want := range map[string]string{
		"orgins": "origins", "orignis": "origins", "Origins": "origins", "host": "hosts", "ulr": "url",
		"need": "needs", "apl": "api", "zebra": "", "": "", "x": "", strings.Repeat("origins", 100): "",
	} {
		got := ""
		if near := Near(word, known); len(near) > 0 {
			got = near[0]
		}
		if got != want {
			t.Errorf("Near(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestPathsQuoteUnusualNames(t *testing.T) {
	got := []string{Key("", "sites"), Index(Key(Key("services", "shop"), "hosts"), 2), Key("dependencies", "aws:s3@eu"), Key("a", "")}
	want := []string{"sites", "services.shop.hosts[2]", `dependencies["aws:s3@eu"]`, `a[""]`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
