package failover

import (
	"reflect"
	"time"

	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
)

// detector is what is used of [health.Detector].
type detector interface {
	Check(health.Result) (health.Verdict, bool)
	Live(health.Event) (health.Verdict, bool)
	Tick(now time.Time) (health.Verdict, bool)
	Verdict() health.Verdict
	WantsFresh() bool
}

// target is one watched origin.
type target struct {
	detector
	url, host string
	check     estate.Check
	asked     time.Time // when a fresh check was last asked for; zero = none is wanted
}

// same reports whether what is checked, and how, did not change.
func (t *target) same(o estate.Origin, c estate.Check) bool {
	return t.url == o.URL && t.host == o.Host && reflect.DeepEqual(t.check, c)
}
