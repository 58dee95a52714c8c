package s3blob_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

func TestAProvidersClockIsFollowedOnceItIsKnown(t *testing.T) {
	ahead := time.Hour
	d := fake(t, func(w http.ResponseWriter, r *http.Request) {
		there := time.Now().Add(ahead)
		w.Header().Set("Date", there.UTC().Format(http.TimeFormat))
		signed, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
		if err != nil || there.Sub(signed).Abs() > 15*time.Minute {
			refuse(w, 403, "RequestTimeTooSkewed")
			return
		}
		accept(w, r)
	})
	for range 2 {
		outcome{kind: errs.Denied, is: blob.ErrSkew, hint: "clock"}.check(t, calls["put"](t.Context(), d))
		for _, call := range []string{"put", "large put"} {
			if err := calls[call](t.Context(), d); err != nil {
				t.Errorf("%s, the clock %v ahead: %v", call, ahead, err)
			}
		}
		ahead = -2 * time.Hour
	}
}
