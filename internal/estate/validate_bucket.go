package estate

import (
	"path"
	"slices"
	"strings"
	"time"
)

// maxReplicas bounds the replicas of a bucket: each request asks all of them.
const maxReplicas = 9

func (v *validator) bucket(b *Bucket) {
	at := Key("buckets", string(b.ID))
	v.replicas(at+".replicas", b)
	oneOf(v, at+".read", b.Read, ReadStrong, ReadBounded, ReadLocal)
	switch {
	case b.Read == ReadBounded:
		between(v, at+".max_age", b.MaxAge, 10*time.Millisecond, time.Hour)
	case b.MaxAge != 0:
		v.add(at+".max_age", "would have no effect: only read: bounded has an age")
	}
	if b.Conditional {
		v.add(at+".conditional", "is not offered yet: clients' If-Match and If-None-Match on writes are answered with NotImplemented; leave the key out")
	}
	v.adopt(at+".adopt", b)
	v.objective(at+".objective", b.Objective)
}

func (v *validator) replicas(at string, b *Bucket) {
	for i := range b.Replicas {
		r := &b.Replicas[i]
		here := Key(at, string(r.Site))
		if !v.sites[r.Site] && len(v.e.Sites) > 0 {
			v.unknown(here, string(r.Site), v.siteNames, "is not a site; declare it under sites")
		}
		if slices.ContainsFunc(b.Replicas[:i], func(o Replica) bool { return o.Site == r.Site }) {
			v.add(here, "is declared twice")
		}
		v.replica(here, r)
		v.twin(here, r, b.Replicas[:i])
	}
	v.quorum(at, b)
}

// quorum reports numbers of replicas that cannot keep what a bucket promises.
func (v *validator) quorum(at string, b *Bucket) {
	n, data, f := len(b.Replicas), b.Data(), b.Faults()
	switch {
	case n < 3:
		names := [...]string{"no replica", "one replica only", "two replicas only"}[n]
		add := "Add some at other sites"
		if n == 2 {
			add = "Add one at another site"
		}
		v.lack(at, "names %s, and it takes three: with fewer, a lost provider cannot be told from a split network, "+
			"and what is left may not answer. %s; with witness: true it holds a small record for each key and no objects", names, add)
	case n > maxReplicas:
		v.add(at, "are %d; a bucket has at most %d", n, maxReplicas)
	case n%2 == 0:
		v.lack(at, "are %d, an even number, which survives the loss of %d just as %d do: add one more, "+
			"for which witness: true suffices, or take one away", n, (n-1)/2, n-1)
	case data <= f:
		v.lack(at, "hold objects at %d of %d sites, and %d must: a PUT is acknowledged when its bytes are at %d sites; "+
			"take witness: true off one", data, n, f+1, f+1)
	}
}

// twin reports a witness in the bucket of another replica: the loss of one
// would be the loss of both. Replicas that hold objects are judged by
// [validator.places].
func (v *validator) twin(at string, r *Replica, earlier []Replica) {
	for i := range earlier {
		o := &earlier[i]
		if (r.Witness || o.Witness) && r.own() != "" && r.Where() == o.Where() {
			v.add(r.place(at), "is the one of replica %s too: what takes one takes both", o.Site)
			return
		}
	}
}

// place gives the path of the value that says where the replica is.
func (r *Replica) place(at string) string {
	if r.S3 != nil {
		return at + ".s3.bucket"
	}
	return at + ".file"
}

func (v *validator) replica(at string, r *Replica) {
	switch {
	case (r.S3 == nil) == (r.File == ""):
		v.lack(at, "needs either s3 or file")
		return
	case r.S3 != nil:
		v.s3(at+".s3", r.S3)
	case !cleanFolder(r.File):
		v.add(at+".file", notFolder)
	}
	if r.HeadsPrefix != "" && !headsPrefix(r.HeadsPrefix) {
		v.add(at+".heads.prefix", `is not a prefix such as .spare/: letters, digits, '.', '-', '_' and '/', at most 64 of them, "/" last and not first`)
	}
	switch place, _ := r.Heads(); {
	case place == r.own():
	case r.S3 != nil && place == r.own()+companion:
		if len(place) > maxBucketName && bucketName(r.own(), true) {
			v.add(at+".s3.bucket", "is too long for a companion that ends in %s, where heads go; name another under heads.bucket", companion)
		}
	case r.S3 != nil && !bucketName(place, r.S3.Endpoint != ""):
		v.add(at+".heads.bucket", notBucket)
	case r.S3 == nil && !cleanFolder(place):
		v.add(at+".heads.bucket", notFolder)
	}
}

func (v *validator) s3(at string, s *S3Bucket) {
	if !bucketName(s.Bucket, s.Endpoint != "") {
		v.add(at+".bucket", notBucket)
	}
	if s.Endpoint != "" {
		u, ok := v.url(at+".endpoint", s.Endpoint, true)
		if ok && (u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.ForceQuery) {
			v.add(at+".endpoint", "holds more than scheme, host and port; the bucket's name is not part of it")
		}
	}
	switch {
	case s.Region != "":
		v.word(at+".region", s.Region, "a region, such as us-east-1 or auto")
	case s.Endpoint == "":
		v.lack(at, "needs a region, and for what is not AWS an endpoint")
	}
	switch {
	case s.AccessKey == "" && s.SecretKey == "":
		v.lack(at, "needs access_key and secret_key")
	case s.AccessKey == "" || s.SecretKey == "":
		v.lack(at, "needs access_key and secret_key both")
	}
}

func (v *validator) adopt(at string, b *Bucket) {
	if b.Adopt == "" {
		return
	}
	if r, ok := b.Replica(b.Adopt); ok {
		if r.Witness {
			v.add(at, "is a witness, which holds no objects that could be adopted")
		}
		return
	}
	var known []string
	for _, r := range b.Replicas {
		known = append(known, string(r.Site))
	}
	v.unknown(at, string(b.Adopt), known, "is not the site of one of the bucket's replicas")
}

func (v *validator) credentials() {
	first := map[string]int{}
	ids := map[BucketID]bool{}
	var names []string
	for _, b := range v.e.Buckets {
		ids[b.ID] = true
		names = append(names, string(b.ID))
	}
	for i, c := range v.e.Credentials {
		at := Index("credentials", i)
		if !accessKey(c.AccessKey) {
			v.add(at+".access_key", "is not an access key: 3 to 128 characters without spaces, '/', ',' and '='")
		} else if other, taken := first[c.AccessKey]; taken {
			v.add(at+".access_key", "is the access key of %s already", Index("credentials", other))
		} else {
			first[c.AccessKey] = i
		}
		if n := len(c.SecretKey); n < 8 || n > 256 {
			v.add(at+".secret_key", "is not between 8 and 256 characters long")
		}
		oneOf(v, at+".rights", c.Rights, allRights...)
		for j, id := range c.Buckets {
			switch {
			case slices.Contains(c.Buckets[:j], id):
				v.add(Index(at+".buckets", j), "stands in this list twice")
			case !ids[id]:
				v.unknown(Index(at+".buckets", j), string(id), names, "is not a bucket of this file")
			}
		}
	}
}

const notFolder = "is not a folder as an absolute path without \"..\", \"//\" and a slash at its end, such as /srv/media"

// cleanFolder reports an absolute path in its shortest form, but for the root.
func cleanFolder(s string) bool {
	return len(s) > 1 && s[0] == '/' && path.Clean(s) == s && len(s) <= 1024 && strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) < 0
}
