package estate

import (
	"strings"
	"time"
)

// The defaults of what a file does not say.
const (
	DefaultData       = "/var/lib/spare"
	DefaultHTTP       = ":80"
	DefaultS3         = ":9000"
	DefaultAPI        = "127.0.0.1:7700"
	DefaultWeight     = 1
	DefaultConfirm    = 5 * time.Second
	DefaultCheckPath  = "/"
	DefaultEvery      = time.Second
	DefaultFresh      = 15 * time.Second
	DefaultTimeout    = 500 * time.Millisecond // of one check attempt
	DefaultDownAfter  = 3
	DefaultUpAfter    = 3
	DefaultFenceWait  = 10 * time.Second
	DefaultBody       = 1 << 30          // bytes
	DefaultHeadWait   = 30 * time.Second // until an origin's response head
	DefaultHedgeShare = 0.1
	DefaultMaxAge     = 5 * time.Second // of heads, with ReadBounded
	DefaultRegion     = "us-east-1"     // that requests to an S3 endpoint are signed for
)

// NewService gives a service with the defaults that a zero value cannot stand
// for: its spares serve reads. [Estate.Default] fills in the others.
func NewService(id ServiceID) Service { return Service{ID: id, SpareReads: true} }

// NewOrigin gives an origin of weight 1. A weight of zero is a choice of its
// own, so [Estate.Default] leaves it alone.
func NewOrigin(site SiteID) Origin { return Origin{Site: site, Weight: DefaultWeight} }

// Default fills in what is unset, where unset shows as a zero value, and
// writes host names in lower case. It does not touch SpareReads and Weight:
// see [NewService] and [NewOrigin].
func (e *Estate) Default() {
	or(&e.Version, 1)
	or(&e.Data, DefaultData)
	or(&e.Listen.HTTP, DefaultHTTP)
	or(&e.Listen.S3, DefaultS3)
	or(&e.Listen.API, DefaultAPI)
	e.Listen.S3Domain = strings.ToLower(e.Listen.S3Domain)
	for i := range e.Services {
		e.Services[i].fill()
	}
	for i := range e.Buckets {
		e.Buckets[i].fill()
	}
	for i := range e.Credentials {
		or(&e.Credentials[i].Rights, RightsRead)
	}
	for i := range e.Dependencies {
		d := &e.Dependencies[i]
		if d.Check == nil && d.URL != "" {
			d.Check = &Check{}
		}
		if d.Check != nil {
			d.Check.fill()
		}
	}
}

func (s *Service) fill() {
	for i, h := range s.Hosts {
		s.Hosts[i] = strings.ToLower(h)
	}
	if len(s.Paths) == 0 {
		s.Paths = []string{"/"}
	}
	or(&s.Policy, Primary)
	or(&s.Writes, WritesAnywhere)
	if s.Writes == WritesOneSite {
		or(&s.Failback, FailbackManual)
	}
	or(&s.Failback, FailbackAuto)
	or(&s.Confirm, DefaultConfirm)
	s.Check.fill()
	if s.Fence != nil {
		or(&s.Fence.Timeout, DefaultFenceWait)
	}
	or(&s.Limits.Body, DefaultBody)
	or(&s.Limits.Timeout, DefaultHeadWait)
	or(&s.Limits.Hedge.Budget, DefaultHedgeShare)
}

func (b *Bucket) fill() {
	or(&b.Read, ReadStrong)
	if b.Read == ReadBounded {
		or(&b.MaxAge, DefaultMaxAge)
	}
	for i := range b.Replicas {
		r := &b.Replicas[i]
		if len(r.File) > 1 {
			r.File = strings.TrimRight(r.File, "/")
		}
		if r.S3 != nil && r.S3.Endpoint != "" {
			or(&r.S3.Region, DefaultRegion)
		}
		if own := r.own(); own != "" && r.HeadsPrefix == "" {
			or(&r.HeadsBucket, own+companion)
		}
	}
}

func (c *Check) fill() {
	or(&c.Kind, CheckHTTP)
	if c.Kind == CheckHTTP {
		or(&c.Path, DefaultCheckPath)
	}
	or(&c.Every, DefaultEvery)
	or(&c.Fresh, DefaultFresh)
	or(&c.Timeout, DefaultTimeout)
	or(&c.DownAfter, DefaultDownAfter)
	or(&c.UpAfter, DefaultUpAfter)
}

func or[V comparable](v *V, fallback V) {
	var zero V
	if *v == zero {
		*v = fallback
	}
}
