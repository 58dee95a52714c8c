package config

import (
	"math"
	"regexp"
	"time"

	"github.com/sparecloud/spare/internal/estate"
)

// shape describes the whole file: the reader, the diagnostics and the schema
// come from here. What is below stands in the order in which it is documented.
var shape = record(
	at("version", func(e *estate.Estate) *int { return &e.Version }, whole{1, 1},
		"Version of this format.").must(),
	at("data", func(e *estate.Estate) *string { return &e.Data }, text{},
		"Folder that keeps state; relative to this file.").or(estate.DefaultData),
	at("listen", func(e *estate.Estate) *estate.Listen { return &e.Listen }, listenShape,
		"Where Spare accepts connections."),
	at("sites", func(e *estate.Estate) *[]estate.Site { return &e.Sites },
		named[estate.Site]{
			make: func(name string) estate.Site { return estate.Site{ID: estate.SiteID(name)} },
			item: siteShape, key: labelPattern, noun: "sites", least: 1,
		},
		"Places where something runs and that can fail as a whole, by name.").must(),
	at("services", func(e *estate.Estate) *[]estate.Service { return &e.Services },
		named[estate.Service]{
			make: func(name string) estate.Service { return estate.NewService(estate.ServiceID(name)) },
			item: serviceShape, key: labelPattern, noun: "services", least: 1,
		},
		"What users reach over HTTP, by name."),
	at("buckets", func(e *estate.Estate) *[]estate.Bucket { return &e.Buckets },
		named[estate.Bucket]{
			make: func(name string) estate.Bucket { return estate.Bucket{ID: estate.BucketID(name)} },
			item: bucketShape, key: bucketPattern, noun: "buckets", least: 1,
		},
		"Objects that S3 clients reach, kept at several sites, by name."),
	at("credentials", func(e *estate.Estate) *[]estate.Credential { return &e.Credentials },
		sequence[estate.Credential]{of: credentialShape, least: 1, like: "[{access_key: app, secret_key: \"${env:APP_SECRET}\"}]"},
		"Who may use the buckets."),
	at("dependencies", func(e *estate.Estate) *[]estate.Dependency { return &e.Dependencies },
		named[estate.Dependency]{
			make: func(name string) estate.Dependency { return estate.Dependency{ID: estate.DependencyID(name)} },
			item: dependencyShape, key: `^[a-z0-9]([a-z0-9:@./_-]*[a-z0-9])?$`, noun: "dependencies",
		},
		"What others run and services rely on, by name."),
	at("notify", func(e *estate.Estate) *estate.Notify { return &e.Notify }, notifyShape,
		"Whom to tell of an incident."),
).anyOf("services", "buckets")

const labelPattern = `^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`

var (
	webURL  = text{regexp.MustCompile(`^[hH][tT][tT][pP][sS]?://|\$\{`), "an http or https URL such as https://shop.example.com", "https://shop.example.com"}
	slashed = text{regexp.MustCompile(`^/|\$\{`), `a path; it begins with "/"`, "/healthz"}
)

var listenShape = record(
	at("http", func(l *estate.Listen) *string { return &l.HTTP }, text{like: ":80"},
		"Address for users' requests, host:port; without a host all addresses.").or(estate.DefaultHTTP),
	at("s3", func(l *estate.Listen) *string { return &l.S3 }, text{like: ":9000"},
		"Address for S3 clients; used when buckets are declared.").or(estate.DefaultS3),
	at("s3_domain", func(l *estate.Listen) *string { return &l.S3Domain }, text{like: "s3.example.com"},
		"Domain below which a bucket's name may stand in the host: media.s3.example.com."),
	at("api", func(l *estate.Listen) *string { return &l.API }, text{like: "127.0.0.1:7700"},
		"Address of the API. Beyond loopback it needs api_tls.").or(estate.DefaultAPI),
	at("api_tls", func(l *estate.Listen) **estate.KeyPair { return &l.APITLS }, optional[estate.KeyPair]{keyPairShape},
		"Certificate of the API."),
)

var keyPairShape = record(
	at("cert", func(k *estate.KeyPair) *string { return &k.Cert }, text{like: "/etc/spare/api.crt"},
		"File with the certificate chain, PEM; relative to this file.").must(),
	at("key", func(k *estate.KeyPair) *string { return &k.Key }, text{like: "/etc/spare/api.key"},
		"File with the private key, PEM; relative to this file.").must(),
)

var siteShape = record(
	at("provider", func(s *estate.Site) *string { return &s.Provider }, text{like: "aws"},
		"Who runs the site; self for your own machines.").must(),
	at("region", func(s *estate.Site) *string { return &s.Region }, text{like: "us-east-1"},
		"Region of the provider.").must(),
	at("zone", func(s *estate.Site) *string { return &s.Zone }, text{like: "us-east-1a"},
		"Zone of the region, when the site is in one only."),
)

var serviceShape = record(
	at("hosts", func(s *estate.Service) *[]string { return &s.Hosts },
		sequence[string]{of: text{like: "shop.example.com"}, least: 1, like: "[shop.example.com]"},
		"Host names that it answers to; *.example.com matches one or more labels. Without them, every host."),
	at("paths", func(s *estate.Service) *[]string { return &s.Paths },
		sequence[string]{of: slashed, least: 1, like: "[/api]"},
		"Path prefixes that it answers to.").or([]string{"/"}),
	at("policy", func(s *estate.Service) *estate.Policy { return &s.Policy },
		choice[estate.Policy]{[]estate.Policy{estate.Primary, estate.Balance}},
		"primary sends requests to the first healthy origin in the order of this file, balance spreads them by weight.").or(estate.Primary),
	at("origins", func(s *estate.Service) *[]estate.Origin { return &s.Origins },
		named[estate.Origin]{
			make: func(name string) estate.Origin { return estate.NewOrigin(estate.SiteID(name)) },
			item: originShape, key: labelPattern, noun: "origins", least: 1,
		},
		"Where it runs, by site; the first is its primary.").must(),
	at("check", func(s *estate.Service) *estate.Check { return &s.Check }, checkShape,
		"How the health of its origins is probed."),
	at("needs", func(s *estate.Service) *[]string { return &s.Needs },
		sequence[string]{of: text{like: "stripe"}, like: `[stripe, "aws:dynamodb@us-east-1"]`},
		"Services, buckets and dependencies that it relies on."),
	at("objective", func(s *estate.Service) *estate.Objective { return &s.Objective }, objectiveShape,
		"What it promises."),
	at("cost_per_hour", func(s *estate.Service) *float64 { return &s.CostPerHour }, number{low: 0, high: math.Inf(1)},
		"Money lost in an hour of downtime, in a unit of your choice."),
	at("writes", func(s *estate.Service) *estate.Writes { return &s.Writes },
		choice[estate.Writes]{[]estate.Writes{estate.WritesAnywhere, estate.WritesOneSite}},
		"anywhere moves unsafe requests as fast as reads; one_site keeps them at one site and moves them after confirm and the fence.").or(estate.WritesAnywhere),
	at("retry_writes", func(s *estate.Service) *bool { return &s.RetryWrites }, boolean{},
		"Whether PUT, DELETE, and POST with an Idempotency-Key may be repeated at another site.").or(false),
	at("spare_reads", func(s *estate.Service) *bool { return &s.SpareReads }, boolean{},
		"Whether a spare may answer reads while the active site is up.").or(true),
	at("failback", func(s *estate.Service) *estate.Failback { return &s.Failback },
		choice[estate.Failback]{[]estate.Failback{estate.FailbackAuto, estate.FailbackManual}},
		"Who moves it back to its primary. Without it: manual when writes is one_site, else auto."),
	at("confirm", func(s *estate.Service) *time.Duration { return &s.Confirm }, duration{},
		"How long a site must be down before unsafe requests move, under writes: one_site; 3s to 10s.").or(span(estate.DefaultConfirm)),
	at("fence", func(s *estate.Service) **estate.Fence { return &s.Fence }, optional[estate.Fence]{fenceShape},
		"Hook that stops writes at the old site before they move."),
	at("limits", func(s *estate.Service) *estate.Limits { return &s.Limits }, limitsShape,
		"Bounds of its requests."),
)

var originShape = record(
	at("url", func(o *estate.Origin) *string { return &o.URL }, webURL,
		"Where the site serves it: scheme, host, and optionally a base path.").must(),
	at("weight", func(o *estate.Origin) *int { return &o.Weight }, whole{0, 1000},
		"Share under policy balance; 0 = only when all others are out.").or(estate.DefaultWeight),
	at("host", func(o *estate.Origin) *string { return &o.Host }, text{like: "shop-aws.example.com"},
		"Host header that the origin gets; without it, the client's."),
)

var checkShape = record(
	at("http", itself[estate.Check], httpShape,
		"Probe with a GET request.").then(func(c *estate.Check) { c.Kind = estate.CheckHTTP }),
	at("tcp", itself[estate.Check], record[estate.Check](),
		"Probe by connecting alone: {}.").then(func(c *estate.Check) { c.Kind = estate.CheckTCP }),
	at("every", func(c *estate.Check) *time.Duration { return &c.Every }, duration{},
		"Time between attempts on a kept connection.").or(span(estate.DefaultEvery)),
	at("fresh", func(c *estate.Check) *time.Duration { return &c.Fresh }, duration{},
		"Time between attempts on a new connection.").or(span(estate.DefaultFresh)),
	at("timeout", func(c *estate.Check) *time.Duration { return &c.Timeout }, duration{},
		"Time that an attempt may take.").or(span(estate.DefaultTimeout)),
	at("down_after", func(c *estate.Check) *int { return &c.DownAfter }, whole{1, 100},
		"Failures in a row that take an origin down.").or(estate.DefaultDownAfter),
	at("up_after", func(c *estate.Check) *int { return &c.UpAfter }, whole{1, 100},
		"Successes in a row that bring it back.").or(estate.DefaultUpAfter),
).atMostOne("http", "tcp")

var httpShape = record(
	at("path", func(c *estate.Check) *string { return &c.Path }, slashed,
		"Request path.").or(estate.DefaultCheckPath),
	at("host", func(c *estate.Check) *string { return &c.Host }, text{like: "shop.example.com"},
		"Host header; without it, the origin's."),
	at("status", func(c *estate.Check) *[]int { return &c.Status },
		sequence[int]{of: whole{100, 599}, least: 1, like: "[200, 204]"},
		"Accepted status codes; without it, any below 500."),
	at("contains", func(c *estate.Check) *string { return &c.Contains }, text{like: "ok"},
		"Text that the first 64 KiB of the body must hold."),
)

var objectiveShape = record(
	at("rto", func(o *estate.Objective) *time.Duration { return &o.RTO }, duration{},
		"Recovery time objective: how long it may be down."),
	at("rpo", func(o *estate.Objective) *time.Duration { return &o.RPO }, duration{zero: true},
		"Recovery point objective: how much of the newest data may be lost; 0s promises none.").
		then(func(o *estate.Objective) { o.RPOSet = true }),
	at("availability", func(o *estate.Objective) *float64 { return &o.Availability }, number{low: 0, high: 100, above: true},
		"Share of requests that are answered well, in per cent: 99.95."),
)

var fenceShape = record(
	at("url", func(f *estate.Fence) *string { return &f.URL }, webURL,
		"Receives a POST; any 2xx means fenced."),
	at("command", func(f *estate.Fence) *[]string { return &f.Command },
		sequence[string]{of: text{}, least: 1, like: "[/usr/local/bin/fence, now]"},
		"Program and arguments, run without a shell; exit status 0 means fenced."),
	at("timeout", func(f *estate.Fence) *time.Duration { return &f.Timeout }, duration{},
		"Time that the hook may take.").or(span(estate.DefaultFenceWait)),
).oneOf("url", "command")

var limitsShape = record(
	at("body", func(l *estate.Limits) *int64 { return &l.Body }, size{},
		"Largest request body, in bytes or with a unit.").or("1GiB"),
	at("timeout", func(l *estate.Limits) *time.Duration { return &l.Timeout }, duration{},
		"Time until an origin's response head.").or(span(estate.DefaultHeadWait)),
	at("hedge", func(l *estate.Limits) *estate.Hedge { return &l.Hedge }, hedgeShape,
		"Second attempts of safe requests when the first is slow."),
)

var hedgeShape = record(
	at("off", func(h *estate.Hedge) *bool { return &h.Off }, boolean{},
		"Whether there are none.").or(false),
	at("delay", func(h *estate.Hedge) *time.Duration { return &h.Delay }, duration{},
		"Time before the second attempt; without it, near the 95th percentile of recent answers."),
	at("budget", func(h *estate.Hedge) *float64 { return &h.Budget }, number{low: 0, high: 1, above: true},
		"Share of requests that may have a second attempt.").or(estate.DefaultHedgeShare),
)

var dependencyShape = record(
	at("check", func(d *estate.Dependency) **estate.Check { return &d.Check }, optional[estate.Check]{checkShape},
		"How its health is probed."),
	at("url", func(d *estate.Dependency) *string { return &d.URL }, webURL,
		"What the check probes."),
	at("status", itself[estate.Dependency], statusShape,
		"The provider's own word on its health."),
)

var statusShape = record(
	at("statuspage", func(d *estate.Dependency) *string { return &d.Statuspage }, webURL,
		"Base URL of a page that speaks Statuspage's JSON.").must(),
)

var notifyShape = record(
	at("webhook", func(n *estate.Notify) **estate.Webhook { return &n.Webhook }, optional[estate.Webhook]{webhookShape},
		"Receives a JSON document when an incident opens and when it closes."),
)

var webhookShape = record(
	at("url", func(w *estate.Webhook) *string { return &w.URL }, webURL,
		"Where the document is sent.").must(),
	at("secret", func(w *estate.Webhook) *string { return &w.Secret }, secret{"${env:SPARE_WEBHOOK_SECRET}"},
		"Key of the Spare-Signature header, by reference; without it the document is not signed."),
	at("allow_private", func(w *estate.Webhook) *bool { return &w.AllowPrivate }, boolean{},
		"Whether the URL may lead to loopback and private addresses.").or(false),
)

// span writes a duration as the file does.
func span(d time.Duration) string { return d.String() }
