package failover

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/route"
)

// OverrideKind is what an override does.
type OverrideKind string

// The kinds. A drain sends nothing new to one origin. A freeze keeps a
// service's routing as it was: verdicts change nothing until it ends.
const (
	KindDrain  OverrideKind = "drain"
	KindFreeze OverrideKind = "freeze"
)

// How long an override lasts when its Until is zero, and at most.
const (
	DefaultOverride = time.Hour
	MaxOverride     = 7 * 24 * time.Hour
)

const overridePrefix = "override/"

// Override is a person's decision that stands above the automatic ones until
// it ends. It ends by itself; setting it again renews it.
type Override struct {
	Kind    OverrideKind     `json:"kind"`
	Service estate.ServiceID `json:"service"`
	Site    estate.SiteID    `json:"site,omitempty"` // of a drain
	Set     time.Time        `json:"set"`            // when it was first set, UTC
	Until   time.Time        `json:"until"`          // when it ends by itself, UTC
	Reason  string           `json:"reason,omitempty"`
	Actor   string           `json:"actor"`
	// Force drains an origin although no other one is left to serve.
	Force bool `json:"force,omitempty"`
	// Pinned is what verdicts had decided when a freeze was set: the origins'
	// states and the active site.
	Pinned *route.Service `json:"pinned,omitempty"`
}

// key is the override's place in the store.
func (o Override) key() string {
	if o.Kind == KindFreeze {
		return overridePrefix + "freeze/" + string(o.Service)
	}
	return overridePrefix + "drain/" + string(o.Service) + "@" + string(o.Site)
}

// String names the override for people: "drain of shop@virginia".
func (o Override) String() string {
	if o.Kind == KindFreeze {
		return "freeze of " + string(o.Service)
	}
	return "drain of " + string(o.Service) + "@" + string(o.Site)
}

func (o Override) live(now time.Time) bool { return now.Before(o.Until) }

// bounded gives the override with its times filled in.
func (o Override) bounded(now time.Time) (Override, error) {
	o.Set = utc(now)
	if o.Until.IsZero() {
		o.Until = now.Add(DefaultOverride)
	}
	o.Until = utc(o.Until)
	switch {
	case !o.live(now):
		return o, errs.E(errs.Invalid, "the %s would end at %s, which is past", o, o.Until.Format(time.RFC3339))
	case o.Until.Sub(now) > MaxOverride:
		return o, errs.WithHint(
			errs.E(errs.Invalid, "the %s would last until %s, longer than %s", o, o.Until.Format(time.RFC3339), MaxOverride),
			"set a shorter one and renew it; to take an origin out for good, remove it from the file")
	}
	return o, nil
}

func parseOverride(key string, value []byte) (Override, error) {
	var o Override
	if err := json.Unmarshal(value, &o); err != nil {
		return o, errs.Wrap(errs.Internal, err, "read %s", key)
	}
	if !strings.HasPrefix(key, overridePrefix) || o.key() != key {
		return o, errs.E(errs.Internal, "record %s holds the %s", key, o)
	}
	return o, nil
}

// utc drops what does not survive JSON, so that times compare equal after it.
func utc(t time.Time) time.Time { return t.UTC().Round(0) }
