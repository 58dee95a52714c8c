package estate

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// BucketID names a bucket: a DNS label of 3 to 63 characters.
type BucketID string

// Bucket is a set of objects that is kept at several sites, in a bucket or
// folder of a provider at each. Its replicas are members of a quorum: every one
// holds a head, a small record, for each key, and all but witnesses hold the
// objects themselves. Of 2f+1 replicas any f may be lost.
type Bucket struct {
	ID          BucketID
	Replicas    []Replica // in order of preference, an odd number, at least three
	Degraded    bool      // acknowledge a PUT whose bytes are at fewer than f+1 sites
	Read        ReadLevel
	MaxAge      time.Duration // of the heads that answer a read; only with ReadBounded
	Conditional bool          // client-visible conditional writes; not offered yet
	Adopt       SiteID        // replica that may hold objects without heads; "" = none
	Objective   Objective
}

// ReadLevel says how fresh a read of a bucket must be.
type ReadLevel string

// The read levels. ReadStrong gives what was acknowledged last. ReadBounded may
// answer by heads that were read at most MaxAge ago, ReadLocal by what the
// nearest replica holds, however old.
const (
	ReadStrong  ReadLevel = "strong"
	ReadBounded ReadLevel = "bounded"
	ReadLocal   ReadLevel = "local"
)

// Replica is a bucket's presence at a site. Exactly one of S3 and File is set.
type Replica struct {
	Site    SiteID
	S3      *S3Bucket
	File    string // a folder, as an absolute path
	Witness bool   // holds heads and no objects
	// HeadsBucket is the bucket, or folder, of the heads, at the same provider
	// and account. [Estate.Default] fills in the companion, the replica's own
	// with "-spare" behind it. "" with a HeadsPrefix is the replica's own bucket.
	HeadsBucket string
	HeadsPrefix string // of the heads' keys; "" or ends in "/"
}

// S3Bucket is a bucket of a provider that speaks S3. Its secrets show neither
// in fmt's formats nor in JSON.
type S3Bucket struct {
	Bucket       string
	Region       string
	Endpoint     string // scheme, host and optional port; "" = AWS
	AccessKey    string
	SecretKey    string `json:"-"`
	SessionToken string `json:"-"` // "" for keys that last
	PathStyle    bool   // the bucket's name stands in the path, not in the host
}

// Rights are what a credential allows.
type Rights string

// The rights, each of which includes the ones before it: to get and list
// objects, to put and delete them, and to change a bucket itself.
const (
	RightsRead  Rights = "read"
	RightsWrite Rights = "write"
	RightsAdmin Rights = "admin"
)

var allRights = []Rights{RightsRead, RightsWrite, RightsAdmin}

// Credential lets an S3 client in. Its secret shows neither in fmt's formats
// nor in JSON.
type Credential struct {
	AccessKey string
	SecretKey string     `json:"-"`
	Buckets   []BucketID // none = all
	Rights    Rights
}

// Bucket gives the bucket with the ID.
func (e *Estate) Bucket(id BucketID) (*Bucket, bool) {
	for i := range e.Buckets {
		if e.Buckets[i].ID == id {
			return &e.Buckets[i], true
		}
	}
	return nil, false
}

// Replica gives the bucket's replica at the site.
func (b *Bucket) Replica(id SiteID) (*Replica, bool) {
	for i := range b.Replicas {
		if b.Replicas[i].Site == id {
			return &b.Replicas[i], true
		}
	}
	return nil, false
}

// Faults gives f: how many of the bucket's replicas may be lost at once.
func (b *Bucket) Faults() int { return max(0, len(b.Replicas)-1) / 2 }

// Data gives how many of the bucket's replicas hold objects.
func (b *Bucket) Data() (n int) {
	for _, r := range b.Replicas {
		if !r.Witness {
			n++
		}
	}
	return n
}

// Reserved gives the prefixes of keys that clients may not use, because a
// replica keeps its heads under them in the bucket of its objects.
func (b *Bucket) Reserved() []string {
	var list []string
	for i := range b.Replicas {
		r := &b.Replicas[i]
		place, prefix := r.Heads()
		if own := r.own(); place == own && prefix != "" && !r.Witness && !slices.Contains(list, prefix) {
			list = append(list, prefix)
		}
	}
	return list
}

// Allows says whether the credential gives the right to the bucket.
func (c Credential) Allows(id BucketID, right Rights) bool {
	has, wants := slices.Index(allRights, c.Rights), slices.Index(allRights, right)
	return wants >= 0 && has >= wants && (len(c.Buckets) == 0 || slices.Contains(c.Buckets, id))
}

// bucketMark begins the name under which a bucket's replicas are judged.
const bucketMark = "bucket/"

// BucketTarget names a bucket's replica as what is judged, beside origins: the
// service is "bucket/" and the bucket's name, which no service can have.
func BucketTarget(id BucketID, site SiteID) Target {
	return Target{Service: ServiceID(bucketMark + id), Site: site}
}

// Bucket gives the bucket that [BucketTarget] named. ok is false for a service.
func (id ServiceID) Bucket() (b BucketID, ok bool) {
	name, ok := strings.CutPrefix(string(id), bucketMark)
	return BucketID(name), ok
}

// Format writes the bucket without its secrets, whatever the verb.
func (s S3Bucket) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "{bucket:%s region:%s endpoint:%s access_key:%s path_style:%t}", s.Bucket, s.Region, s.Endpoint, s.AccessKey, s.PathStyle)
}

// Format writes the credential without its secret, whatever the verb.
func (c Credential) Format(f fmt.State, _ rune) {
	_, _ = fmt.Fprintf(f, "{access_key:%s buckets:%s rights:%s}", c.AccessKey, c.Buckets, c.Rights)
}
