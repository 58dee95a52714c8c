package app

import (
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
)

func TestLongestAnswerIsShownForAMinute(t *testing.T) {
	c := &control{peaks: map[estate.ServiceID]peak{}}
	at := time.Now()
	for _, tc := range []struct {
		after    time.Duration
		ns, want int64
	}{{0, 5, 5}, {time.Second, 90, 90}, {2 * time.Second, 0, 90}, {50 * time.Second, 7, 90}, {62 * time.Second, 7, 7}} {
		in := []health.Traffic{{Service: "shop", LongestNS: tc.ns}}
		if got := c.withPeaks(in, at.Add(tc.after))[0].LongestNS; got != tc.want {
			t.Errorf("after %s: %d, want %d", tc.after, got, tc.want)
		}
		if in[0].LongestNS != tc.ns {
			t.Error("the report itself was changed")
		}
	}
}
