package qualify_test

import (
	"strings"
	"testing"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/qualify"
	"github.com/sparecloud/spare/internal/blob/s3blob"
	"github.com/sparecloud/spare/internal/blob/s3blob/peer"
)

// served qualifies a bucket of a real server.
func served(t *testing.T, d *s3blob.Driver) qualify.Report {
	t.Helper()
	r, err := qualify.Run(t.Context(), blob.New("peer", d), qualify.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("class %s, put %v, get %v, clock %v", r.Class, r.PutP50, r.GetP50, r.ClockOffset)
	for _, f := range r.Findings {
		t.Logf("%v %s: %s", f.OK, f.Name, f.Detail)
	}
	empty(t, d)
	return r
}

// failed wants the failed findings of a report to be these, each a name and a
// word of its detail.
func failed(t *testing.T, r qualify.Report, want map[string]string) {
	t.Helper()
	for _, f := range r.Findings {
		word, ok := want[f.Name]
		if f.OK == ok || !strings.Contains(f.Detail, word) {
			t.Errorf("found %+v, want a word of %q", f, word)
		}
	}
}

func TestVersityHoldsHeads(t *testing.T) {
	r := served(t, peer.Versity(t, peer.Options{}).Open(t, "orders"))
	if r.Class != blob.ClassContent || r.Versioned || !r.ConditionalDelete {
		t.Errorf("found %+v", r)
	}
	failed(t, r, map[string]string{"keys": "taken for one", "multipart": "had been given up"})
}

func TestVersityWithVersionsHoldsBodies(t *testing.T) {
	d := peer.Versity(t, peer.Options{Versions: true}).Open(t, "orders")
	if err := d.KeepVersions(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := served(t, d)
	if r.Class != blob.ClassBodies || !r.Versioned {
		t.Errorf("found %+v", r)
	}
	if f := finding(t, r, "conditional create"); f.OK || !strings.Contains(f.Detail, "deleted") {
		t.Errorf("found %+v", f)
	}
	if f := finding(t, r, "condition on an absent object"); f.OK || !strings.Contains(f.Detail, "deleted object") {
		t.Errorf("found %+v", f)
	}
}

func TestMinIOHoldsHeads(t *testing.T) {
	r := served(t, peer.MinIO(t).Open(t, "orders"))
	if r.Class != blob.ClassContent || r.ConditionalDelete {
		t.Errorf("found %+v", r)
	}
	failed(t, r, map[string]string{"conditional delete": "If-Match ignored", "metadata": "MetadataTooLarge"})
}

func TestRcloneHoldsBodies(t *testing.T) {
	r := served(t, peer.Rclone(t).Open(t, "orders"))
	if r.Class != blob.ClassBodies || !strings.Contains(r.Why(), "If-None-Match ignored") || !strings.Contains(r.Why(), "If-Match ignored") {
		t.Errorf("found %+v", r)
	}
}
