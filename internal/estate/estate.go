// Package estate is Spare's vocabulary: everything a spare.yaml declares, as
// plain values. It imports nothing that does I/O, and everything else imports
// it.
//
// An [Estate] is immutable once it is built. Its parts stand in the order of
// the file, because order means something: the first origin of a service with
// policy "primary" is its primary. [Estate.Default] fills in what was left
// unset. [Validate] says what is wrong with one, all at once, each [Problem]
// with the path of the value at fault so that the reader of the file can point
// at line and column; [Advise] says what is allowed and probably not meant.
//
//	e.Default()
//	if p := estate.Validate(e); len(p) > 0 { ... }
//	svc, ok := e.Service("shop")
package estate

import (
	"fmt"
	"time"
)

// IDs are names that the user chose. They are lower-case DNS labels.
type (
	SiteID       string
	ServiceID    string
	DependencyID string // "stripe", or "aws:dynamodb@us-east-1"
)

// Estate is all that one spare.yaml declares.
type Estate struct {
	Version      int
	Data         string // state folder
	Listen       Listen
	Sites        []Site
	Services     []Service
	Buckets      []Bucket
	Credentials  []Credential // of S3 clients
	Dependencies []Dependency
	Notify       Notify
	Digest       string // hex SHA-256 of the file's bytes; names this version of the estate
}

// Listen says where Spare accepts connections. An address is "host:port";
// an empty host is all addresses.
type Listen struct {
	HTTP     string
	S3       string // of buckets; used when there are any
	S3Domain string // lower case; NAME.S3Domain is bucket NAME, "" = buckets stand in the path only
	API      string
	APITLS   *KeyPair // required when API is not a loopback address
}

// KeyPair names a PEM certificate chain and its private key, as file paths.
type KeyPair struct{ Cert, Key string }

// Site is a failure domain where something runs. Failure domains nest:
// provider > region > zone.
type Site struct {
	ID       SiteID
	Provider string
	Region   string
	Zone     string // "" when the site is a whole region
}

// Policy is how a service uses its origins.
type Policy string

// The policies. Primary sends traffic to the first healthy origin in the
// file's order; Balance spreads it over all healthy ones by weight.
const (
	Primary Policy = "primary"
	Balance Policy = "balance"
)

// Writes says where unsafe requests of a service may go.
type Writes string

// WritesAnywhere moves unsafe requests as fast as reads. WritesOneSite keeps
// them at one site and moves them only with a table's epoch, after hard
// confirmation.
const (
	WritesAnywhere Writes = "anywhere"
	WritesOneSite  Writes = "one_site"
)

// Failback says who moves a service back to its primary once that is healthy.
type Failback string

// The ways back.
const (
	FailbackAuto   Failback = "auto"
	FailbackManual Failback = "manual"
)

// Service is something users reach over HTTP.
type Service struct {
	ID          ServiceID
	Hosts       []string // lower case; "*.example.com" matches one or more labels; none = every host
	Paths       []string // path prefixes, "/" when the file names none
	Policy      Policy
	Origins     []Origin // in order of preference
	Check       Check
	Needs       []string // services, buckets and dependencies that it relies on
	Objective   Objective
	CostPerHour float64 // money lost in an hour of downtime, unit of the user's choice
	Writes      Writes
	RetryWrites bool // PUT, DELETE and POST with Idempotency-Key may be repeated
	SpareReads  bool // reads may go to a spare (hedge, retry) while the active origin is in rotation
	Failback    Failback
	Confirm     time.Duration // how long a site must be down before unsafe methods move (one_site), 3-10 s
	Fence       *Fence        // run before unsafe methods move
	Limits      Limits
}

// Origin is a service's presence at a site.
type Origin struct {
	Site   SiteID
	URL    string // http or https; scheme, host and optional base path
	Weight int    // share under policy balance; >= 0, 0 = only when all others are out
	Host   string // Host header sent to the origin; "" = the client's
}

// CheckKind is the protocol of an active check.
type CheckKind string

// The kinds of check.
const (
	CheckHTTP CheckKind = "http"
	CheckTCP  CheckKind = "tcp"
)

// Check says how an origin's health is probed.
type Check struct {
	Kind      CheckKind
	Path      string        // HTTP: request path
	Host      string        // HTTP: Host header, "" = the origin's
	Status    []int         // HTTP: accepted status codes; none = any below 500
	Contains  string        // HTTP: text that the first 64 KiB of the body must hold; "" = any
	Every     time.Duration // between keep-alive attempts
	Fresh     time.Duration // between attempts on a new connection
	Timeout   time.Duration // of one attempt
	DownAfter int           // failures in a row to go down
	UpAfter   int           // successes in a row to come up
}

// Objective is what a service or a bucket promises. Zero means not declared.
type Objective struct {
	RTO          time.Duration
	RPO          time.Duration
	RPOSet       bool    // an RPO of 0s is a promise, not an absence
	Availability float64 // per cent, for example 99.95
}

// Fence is a hook that makes sure that the old site takes no more writes.
// Exactly one of URL and Command is set.
type Fence struct {
	URL     string   // receives a POST; any 2xx means fenced
	Command []string // executed without a shell; exit status 0 means fenced
	Timeout time.Duration
}

// Limits bound one service's requests. Zero means the default, which
// [Estate.Default] fills in.
type Limits struct {
	Body    int64         // bytes of a request body; default 1 GiB
	Timeout time.Duration // until an origin's response head; default 30 s
	Hedge   Hedge
}

// Hedge tunes second attempts of safe requests.
type Hedge struct {
	Off    bool
	Delay  time.Duration // fixed delay; 0 = adaptive, near the 95th percentile
	Budget float64       // share of requests, 0-1; 0 = default 0.1
}

// Dependency is something of others' that a service relies on.
type Dependency struct {
	ID         DependencyID
	Check      *Check
	URL        string // what Check probes
	Statuspage string // base URL of a Statuspage-compatible page
}

// Notify says whom to tell of an incident.
type Notify struct{ Webhook *Webhook }

// Webhook receives a JSON document when an incident opens and when it closes.
// Its secret shows neither in fmt's formats nor in JSON, and its URL, whose path
// may be one, not in the former.
type Webhook struct {
	URL    string
	Secret string `json:"-"` // HMAC-SHA256 key for the Spare-Signature header; "" = unsigned
	// AllowPrivate lets the URL resolve to loopback or private addresses.
	AllowPrivate bool
}

// Format writes the webhook without its secrets, whatever the verb.
func (w Webhook) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "{signed:%t allow_private:%t}", w.Secret != "", w.AllowPrivate)
}

// Site gives the site with the ID.
func (e *Estate) Site(id SiteID) (Site, bool) {
	for _, s := range e.Sites {
		if s.ID == id {
			return s, true
		}
	}
	return Site{}, false
}

// Service gives the service with the ID.
func (e *Estate) Service(id ServiceID) (*Service, bool) {
	for i := range e.Services {
		if e.Services[i].ID == id {
			return &e.Services[i], true
		}
	}
	return nil, false
}

// Origin gives the service's origin at the site.
func (s *Service) Origin(id SiteID) (Origin, bool) {
	for _, o := range s.Origins {
		if o.Site == id {
			return o, true
		}
	}
	return Origin{}, false
}

// Target names one origin: a service at a site. It is the unit that is probed,
// judged and ejected.
type Target struct {
	Service ServiceID `json:"service"`
	Site    SiteID    `json:"site"`
}

func (t Target) String() string { return string(t.Service) + "@" + string(t.Site) }
