package fileblob

import (
	"testing"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/drivertest"
)

func TestConformance(t *testing.T) {
	drivertest.Run(t, func(t *testing.T) drivertest.Harness {
		return drivertest.Harness{Driver: open(t, t.TempDir()), Other: open(t, t.TempDir()), Class: blob.ClassContent, Modified: true}
	})
}

// open opens a bucket in a folder, and makes it.
func open(t testing.TB, dir string) *Driver {
	t.Helper()
	d, err := Open(dir, Options{Make: true})
	if err != nil {
		t.Fatal(err)
	}
	return d
}
