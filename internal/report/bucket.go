package report

import (
	"slices"
	"strings"

	"github.com/sparecloud/spare/internal/apiv1"
)

// whatBuckets says why nothing is counted of a bucket.
const whatBuckets = "requests of buckets are counted since a data process began, not by incident"

// buckets gives those of the incident's services that are buckets.
func buckets(in apiv1.Incident) []string {
	var list []string
	for _, s := range in.Services {
		if id, ok := apiv1.BucketOf(s); ok {
			list = append(list, id)
		}
	}
	return list
}

// onlyBuckets reports an incident whose requests nobody counts.
func onlyBuckets(in apiv1.Incident) bool {
	return len(in.Services) > 0 && len(buckets(in)) == len(in.Services) && in.Impact.Requests == 0
}

// uncounted says what the numbers leave out.
func (f *Facts) uncounted() []apiv1.ReportStatement {
	list := buckets(f.Incident)
	if len(list) == 0 {
		return nil
	}
	return []apiv1.ReportStatement{says(nil, "How many requests of bucket %s failed or were refused: %s. \"spare bucket status\" and the series spare_bucket_* have the counts.", strings.Join(list, ", "), whatBuckets)}
}

// concerned names the incident's services and buckets.
func concerned(in apiv1.Incident) string {
	var services []string
	for _, s := range in.Services {
		if _, ok := apiv1.BucketOf(s); !ok {
			services = append(services, s)
		}
	}
	parts := []string{}
	if ids := buckets(in); len(ids) > 0 {
		slices.Sort(ids)
		parts = append(parts, "buckets: "+strings.Join(ids, ", "))
	}
	if len(services) > 0 || len(parts) == 0 {
		parts = append([]string{"services: " + strings.Join(services, ", ")}, parts...)
	}
	return strings.Join(parts, "; ")
}
