package replica

import (
	"context"
	"path"
	"testing"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/drivertest"
	"github.com/sparecloud/spare/internal/errs"
)

// deviations are the tests of the suite that a replicated bucket does not pass,
// and why.
var deviations = map[string]string{
	"MetadataComesBackAsItCame":       "a little less user metadata fits: the operation stands beside it",
	"ACopyOntoItselfReplacesMetadata": "copies in place need conditional: true",
}

// TestConformsToTheDriverContract: whatever serves a bucket of one provider
// serves this one, but for conditions, versions and copies from elsewhere.
func TestConformsToTheDriverContract(t *testing.T) {
	for name, classes := range map[string][]blob.Class{"content": content3, "mixed": mixed3, "unique": unique3} {
		t.Run(name, func(t *testing.T) {
			drivertest.Run(t, func(t *testing.T) drivertest.Harness {
				if why := deviations[path.Base(t.Name())]; why != "" {
					t.Skip(why)
				}
				return drivertest.Harness{
					Driver: &asDriver{newTrio(t, classes, 0).b}, MinPart: blob.MinPart, Modified: true, Slow: testing.Short(),
					Refuses: func(key string) bool { return len(key) > maxKey },
				}
			})
		})
	}
}

// asDriver is a replicated bucket as a driver.
type asDriver struct{ *Bucket }

func (d *asDriver) Copy(ctx context.Context, dst string, from blob.Driver, src string, o blob.CopyOptions) (blob.Object, error) {
	if from != blob.Driver(d) {
		return blob.Object{}, errs.E(errs.Unsupported, "a copy must come from the same bucket")
	}
	return d.Bucket.Copy(ctx, dst, src, o)
}
