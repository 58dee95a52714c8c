package estate

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const (
	clientSecret   = "s3cr3t-of-the-client"
	providerSecret = "s3cr3t-of-the-provider"
)

// kept gives an estate with a bucket, in which nothing is wrong or odd.
func kept() *Estate {
	e := sound()
	e.Sites = append(e.Sites, Site{ID: "basement", Provider: "self", Region: "paris"})
	e.Buckets = []Bucket{{ID: "media", Replicas: []Replica{
		{Site: "virginia", S3: &S3Bucket{Bucket: "media", Region: "us-east-1", AccessKey: "AKIA", SecretKey: providerSecret}},
		{Site: "belgium", S3: &S3Bucket{Bucket: "media-eu", Endpoint: "https://storage.example.com", AccessKey: "GOOG", SecretKey: providerSecret, SessionToken: providerSecret}},
		{Site: "basement", File: "/srv/media/"},
	}}}
	e.Credentials = []Credential{{AccessKey: "app", SecretKey: clientSecret, Buckets: []BucketID{"media"}, Rights: RightsWrite}}
	e.Default()
	return e
}

// second adds a bucket of one folder for each site, away from the first's.
func second(e *Estate, change func(r []Replica)) {
	r := []Replica{{Site: "virginia", File: "/a"}, {Site: "belgium", File: "/b"}, {Site: "basement", File: "/c"}}
	change(r)
	e.Buckets = append(e.Buckets, Bucket{ID: "other", Replicas: r})
	e.Default()
}

func TestBucketIsSound(t *testing.T) {
	e := kept()
	e.Services = nil // buckets are reason enough for an estate
	if p := Validate(e); len(p) > 0 {
		t.Errorf("problems: %v", lines(p))
	}
	e = kept()
	e.Services[0].Needs = []string{"media"}
	if p := append(Validate(e), Advise(e)...); len(p) > 0 {
		t.Errorf("problems and advice: %v", lines(p))
	}
}

func TestEachRuleOfBucketsNamesThePathAtFault(t *testing.T) {
	const r = "buckets.media.replicas"
	media := func(change func(*Bucket)) func(*Estate) {
		return func(e *Estate) { change(&e.Buckets[0]) }
	}
	s3 := func(change func(*S3Bucket)) func(*Estate) {
		return func(e *Estate) { change(e.Buckets[0].Replicas[1].S3) }
	}
	more := func(n int) func(*Estate) {
		return func(e *Estate) {
			for i := range n {
				id := SiteID(fmt.Sprintf("more-%d", i))
				e.Sites = append(e.Sites, Site{ID: id, Provider: "self", Region: string(id)})
				e.Buckets[0].Replicas = append(e.Buckets[0].Replicas, Replica{Site: id, File: fmt.Sprintf("/more/%d", i)})
			}
		}
	}
	other := func(change func(r []Replica)) func(*Estate) { return func(e *Estate) { second(e, change) } }
	client := func(change func(*Credential)) func(*Estate) {
		return func(e *Estate) { change(&e.Credentials[0]) }
	}
	for _, c := range []struct {
		want   string // "path: part of the message"
		change func(*Estate)
	}{
		{"listen.s3: is not an address", func(e *Estate) { e.Listen.S3 = "9000" }},
		{"listen.s3: takes the port of listen.http", func(e *Estate) { e.Listen.S3 = "127.0.0.1:80" }},
		{"listen.api: takes the port of listen.s3", func(e *Estate) { e.Listen.API = "127.0.0.1:9000" }},
		{"listen.s3_domain: is not a domain name", func(e *Estate) { e.Listen.S3Domain = "10.0.0.1" }},
		{"listen.s3_domain: is not a domain name", func(e *Estate) { e.Listen.S3Domain = "*.s3.example.com" }},
		{"buckets.ab: is not a name of a bucket", func(e *Estate) { e.Buckets[0].ID = "ab"; e.Credentials[0].Buckets[0] = "ab" }},
		{`buckets["a.b"]: is not a name of a bucket`, func(e *Estate) { e.Buckets[0].ID = "a.b"; e.Credentials[0].Buckets[0] = "a.b" }},
		{"buckets.shop: is the name of another service or bucket", func(e *Estate) { e.Buckets[0].ID = "shop"; e.Credentials[0].Buckets[0] = "shop" }},
		{"dependencies.media: is the name of another service, bucket", func(e *Estate) { e.Dependencies[0].ID = "media"; e.Services[0].Needs = nil }},
		{`services.shop.needs[0]: is neither a service, a bucket nor a dependency of this file; did you mean "media"?`, func(e *Estate) { e.Services[0].Needs = []string{"medja"} }},
		{r + ": names no replica, and it takes three", media(func(b *Bucket) { b.Replicas = nil })},
		{r + ": names one replica only", media(func(b *Bucket) { b.Replicas = b.Replicas[:1] })},
		{r + ": names two replicas only, and it takes three: with fewer, a lost provider cannot be told from a split network, and what is left may not answer. Add one at another site; with witness: true it", media(func(b *Bucket) { b.Replicas = b.Replicas[:2] })},
		{r + ": are 4, an even number, which survives the loss of 1 just as 3 do", more(1)},
		{r + ": are 11; a bucket has at most 9", more(8)},
		{r + ": hold objects at 1 of 3 sites, and 2 must", media(func(b *Bucket) { b.Replicas[0].Witness, b.Replicas[1].Witness = true, true })},
		{r + ".belgum: is not a site; declare it under sites; did you mean \"belgium\"?", media(func(b *Bucket) { b.Replicas[1].Site = "belgum" })},
		{r + ".virginia: is declared twice", media(func(b *Bucket) { b.Replicas[1].Site = "virginia" })},
		{r + ".basement: needs either s3 or file", media(func(b *Bucket) { b.Replicas[2].File = "" })},
		{r + ".belgium: needs either s3 or file", media(func(b *Bucket) { b.Replicas[1].File = "/x" })},
		{r + ".basement.file: is not a folder", media(func(b *Bucket) { b.Replicas[2].File = "srv/media" })},
		{r + ".basement.file: is not a folder", media(func(b *Bucket) { b.Replicas[2].File = "/srv/../media" })},
		{r + ".basement.file: is not a folder", media(func(b *Bucket) { b.Replicas[2] = Replica{Site: "basement", File: "/"} })},
		{r + ".basement.file: would keep objects where data keeps state", media(func(b *Bucket) { b.Replicas[2].File = "/var/lib/spare/media" })},
		{r + ".basement.file: would keep objects where data keeps state", media(func(b *Bucket) { b.Replicas[2].File = "/var/lib" })},
		{r + ".basement.heads.bucket: is not a folder", media(func(b *Bucket) { b.Replicas[2].HeadsBucket = "heads" })},
		{r + ".basement.heads.prefix: is not a prefix", media(func(b *Bucket) { b.Replicas[2].HeadsPrefix = "/x/" })},
		{r + ".belgium.heads.prefix: is not a prefix", media(func(b *Bucket) { b.Replicas[1].HeadsPrefix = ".spare" })},
		{r + ".belgium.heads.prefix: is not a prefix", media(func(b *Bucket) { b.Replicas[1].HeadsPrefix = "../" })},
		{r + ".belgium.heads.bucket: is not the name of an S3 bucket", media(func(b *Bucket) { b.Replicas[1].HeadsBucket = "Heads" })},
		{r + ".belgium.heads.bucket: would keep heads where buckets.media.replicas.belgium keeps objects", media(func(b *Bucket) { b.Replicas[1].HeadsBucket = "media-eu" })},
		{r + ".belgium.s3.bucket: is too long for a companion", media(func(b *Bucket) {
			b.Replicas[1].S3.Bucket, b.Replicas[1].HeadsBucket = strings.Repeat("a", 60), strings.Repeat("a", 60)+"-spare"
		})},
		{r + ".belgium.s3.endpoint: is not an http or https URL", s3(func(s *S3Bucket) { s.Endpoint = "storage.example.com" })},
		{r + ".belgium.s3.endpoint: holds more than scheme", s3(func(s *S3Bucket) { s.Endpoint += "/media" })},
		{r + ".belgium.s3.endpoint: holds more than scheme", s3(func(s *S3Bucket) { s.Endpoint += "/?x" })},
		{r + ".belgium.s3.endpoint: holds a user name", s3(func(s *S3Bucket) { s.Endpoint = "https://a:b@storage.example.com" })},
		{r + ".belgium.s3.region: is not a region", s3(func(s *S3Bucket) { s.Region = "EU west" })},
		{r + ".belgium.s3: needs a region", s3(func(s *S3Bucket) { s.Endpoint, s.Region = "", "" })},
		{r + ".belgium.s3: needs access_key and secret_key", s3(func(s *S3Bucket) { s.AccessKey, s.SecretKey = "", "" })},
		{r + ".belgium.s3: needs access_key and secret_key both", s3(func(s *S3Bucket) { s.SecretKey = "" })},
		{r + ".belgium.s3: needs access_key and secret_key both", s3(func(s *S3Bucket) { s.AccessKey = "" })},
		{r + ".belgium.s3.bucket: would keep objects where buckets.media.replicas.virginia keeps objects", media(func(b *Bucket) { *b.Replicas[1].S3, b.Replicas[1].HeadsBucket = *b.Replicas[0].S3, "media-spare" })},
		{r + ".belgium.s3.bucket: is the one of replica virginia too", media(func(b *Bucket) {
			b.Replicas[1] = Replica{Site: "belgium", S3: b.Replicas[0].S3, Witness: true, HeadsBucket: "elsewhere"}
		})},
		{"buckets.other.replicas.virginia.file: would keep objects where buckets.media.replicas.basement keeps objects already", other(func(r []Replica) { r[0].File = "/srv/media" })},
		{"buckets.other.replicas.virginia.file: would keep objects where buckets.media.replicas.basement keeps objects already", other(func(r []Replica) { r[0].File = "/srv" })},
		{"buckets.other.replicas.virginia.file: would keep objects where buckets.media.replicas.basement keeps heads already", other(func(r []Replica) { r[0].File = "/srv/media-spare/x" })},
		{"buckets.other.replicas.virginia.file: would keep heads, in its companion that ends in -spare, where buckets.media.replicas.belgium", func(e *Estate) {
			e.Buckets[0].Replicas[1] = Replica{Site: "belgium", File: "/a-spare"}
			second(e, func([]Replica) {})
		}},
		{r + ".basement.heads.bucket: would keep heads where buckets.media.replicas.basement keeps objects", media(func(b *Bucket) { b.Replicas[2].HeadsBucket = "/srv" })},
		{"buckets.other.replicas.belgium.heads.bucket: would keep heads where buckets.other.replicas.virginia keeps objects", other(func(r []Replica) { r[1].HeadsBucket = "/a" })},
		{"buckets.other.replicas.belgium.heads.prefix: would keep heads where buckets.media.replicas.virginia keeps objects", other(func(r []Replica) {
			r[1] = Replica{Site: "belgium", Witness: true, S3: &S3Bucket{Bucket: "x-y", Region: "us-east-2", AccessKey: "a", SecretKey: "b"}, HeadsBucket: "media", HeadsPrefix: "h/"}
		})},
		{"buckets.media.read: is not one of strong, bounded, local", media(func(b *Bucket) { b.Read = "any" })},
		{"buckets.media.max_age: would have no effect", media(func(b *Bucket) { b.MaxAge = time.Second })},
		{"buckets.media.max_age: is not between 10ms and 1h", media(func(b *Bucket) { b.Read, b.MaxAge = ReadBounded, 2*time.Hour })},
		{"buckets.media.conditional: is not offered yet", media(func(b *Bucket) { b.Conditional = true })},
		{`buckets.media.adopt: is not the site of one of the bucket's replicas; did you mean "belgium"?`, media(func(b *Bucket) { b.Adopt = "belgum" })},
		{"buckets.media.adopt: is a witness", media(func(b *Bucket) { b.Replicas[1].Witness, b.Adopt = true, "belgium" })},
		{"buckets.media.objective.rpo: is negative", media(func(b *Bucket) { b.Objective.RPO = -1 })},
		{"credentials[0].access_key: is not an access key", client(func(c *Credential) { c.AccessKey = "ab" })},
		{"credentials[0].access_key: is not an access key", client(func(c *Credential) { c.AccessKey = "a/b" })},
		{"credentials[1].access_key: is the access key of credentials[0] already", func(e *Estate) { e.Credentials = append(e.Credentials, e.Credentials[0]) }},
		{"credentials[0].secret_key: is not between 8 and 256", client(func(c *Credential) { c.SecretKey = "1234567" })},
		{"credentials[0].rights: is not one of read, write, admin", client(func(c *Credential) { c.Rights = "all" })},
		{`credentials[0].buckets[0]: is not a bucket of this file; did you mean "media"?`, client(func(c *Credential) { c.Buckets[0] = "meda" })},
		{"credentials[0].buckets[1]: stands in this list twice", client(func(c *Credential) { c.Buckets = append(c.Buckets, "media") })},
	} {
		e := kept()
		c.change(e)
		got := Validate(e)
		if len(got) != 1 || !strings.HasPrefix(got[0].String(), c.want) {
			t.Errorf("want only %q, got %q", c.want, lines(got))
		}
	}
}

func TestPortOfS3IsFreeWithoutBuckets(t *testing.T) {
	for _, l := range []Listen{{HTTP: ":9000"}, {API: "127.0.0.1:9000"}} {
		e := sound()
		e.Listen = l
		e.Default()
		if p := Validate(e); len(p) > 0 {
			t.Errorf("%+v: %v", l, lines(p))
		}
	}
	e := kept()
	e.Listen.HTTP, e.Listen.S3, e.Listen.API = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	if p := Validate(e); len(p) > 0 {
		t.Errorf("any free port: %v", lines(p))
	}
}

func TestHeadsMayShareABucketUnderPrefixes(t *testing.T) {
	e := kept()
	e.Buckets[0].Replicas[0].HeadsBucket, e.Buckets[0].Replicas[0].HeadsPrefix = "", ".spare/"
	e.Buckets[0].Replicas[1].HeadsBucket, e.Buckets[0].Replicas[1].HeadsPrefix = "", "heads/"
	e.Buckets[0].Replicas[1].Witness = true // whose bucket holds no objects: no key is in the way
	e.Buckets[0].Replicas[2].HeadsBucket, e.Buckets[0].Replicas[2].HeadsPrefix = "/heads", "media/"
	second(e, func(r []Replica) { r[0].HeadsBucket, r[0].HeadsPrefix = "/heads", "other/" })
	if p := Validate(e); len(p) > 0 {
		t.Errorf("problems: %v", lines(p))
	}
	if diff := cmp.Diff([]string{".spare/"}, e.Buckets[0].Reserved()); diff != "" {
		t.Errorf("reserved keys: %s", diff)
	}
	e.Buckets[1].Replicas[0].HeadsPrefix = "media/x/"
	if p := Validate(e); len(p) != 1 || p[0].Path != "buckets.other.replicas.virginia.heads.prefix" {
		t.Errorf("heads within heads: %v", lines(p))
	}
}

func TestAdviceOnBuckets(t *testing.T) {
	const r = "buckets.media.replicas"
	witness := func(b *Bucket) { b.Replicas[2].Witness = true }
	local := &S3Bucket{Bucket: "abc", Endpoint: "http://minio:9000", AccessKey: "a", SecretKey: "b"}
	for _, c := range []struct {
		want   string // "" = none
		change func(*Estate, *Bucket)
	}{
		{r + ": keep objects at 2 sites, all of which a PUT needs: reads, deletes and lists survive the loss of one, PUTs do not", func(_ *Estate, b *Bucket) { witness(b) }},
		{"", func(_ *Estate, b *Bucket) { witness(b); b.Degraded = true }},
		{"buckets.media.degraded: is not needed", func(_ *Estate, b *Bucket) { b.Degraded = true }},
		{"buckets.media.objective.rpo: is not kept", func(_ *Estate, b *Bucket) { witness(b); b.Degraded, b.Objective.RPOSet = true, true }},
		{"buckets: can be used by nobody", func(e *Estate, _ *Bucket) { e.Credentials = nil }},
		{"buckets.media: can be used by nobody", func(e *Estate, _ *Bucket) {
			second(e, func([]Replica) {})
			e.Credentials[0].Buckets[0] = "other"
		}},
		{"", func(e *Estate, _ *Bucket) {
			second(e, func(r []Replica) {
				r[0] = Replica{Site: "virginia", S3: &S3Bucket{Bucket: "other", Region: "us-east-1", AccessKey: "a", SecretKey: "b"}}
				r[1] = Replica{Site: "belgium", S3: &S3Bucket{Bucket: "other", Endpoint: "https://storage.example.com", AccessKey: "a", SecretKey: "b"}}
			})
			e.Credentials[0].Buckets = nil
		}},
		{"credentials: open nothing", func(e *Estate, _ *Bucket) { e.Buckets, e.Credentials[0].Buckets = nil, nil }},
		{"sites.basement: serves nothing", func(e *Estate, _ *Bucket) { e.Buckets, e.Credentials = nil, nil }},
		{r + ": are most of them in one region of one provider", func(e *Estate, _ *Bucket) { e.Sites[1].Provider, e.Sites[1].Region = "aws", "us-east-1" }},
		{r + ": are all at one provider", func(e *Estate, _ *Bucket) { e.Sites[1].Provider, e.Sites[2].Provider = "aws", "aws" }},
		{"", func(e *Estate, _ *Bucket) { e.Sites[0].Provider, e.Sites[1].Provider = "self", "self" }},
		{r + ": are most of them folders of one machine", func(_ *Estate, b *Bucket) { b.Replicas[0] = Replica{Site: "virginia", File: "/x"} }},
		{r + ": are most of them behind one endpoint", func(_ *Estate, b *Bucket) { b.Replicas[0].S3.Endpoint = b.Replicas[1].S3.Endpoint }},
		{"", func(_ *Estate, b *Bucket) {
			for i, region := range []string{"us-east-1", "eu-west-1"} {
				b.Replicas[i].S3.Endpoint = "https://s3." + region + ".amazonaws.com"
			}
		}},
		{r + ".belgium.s3.endpoint: is http beyond", func(_ *Estate, b *Bucket) { b.Replicas[1].S3.Endpoint = "http://storage.example.com" }},
		{"", func(_ *Estate, b *Bucket) { b.Replicas[1].S3 = local }},
		{r + ".belgium.s3.bucket: holds a dot", func(_ *Estate, b *Bucket) { b.Replicas[1].S3.Bucket = "media.eu" }},
		{"", func(_ *Estate, b *Bucket) { b.Replicas[1].S3.Bucket, b.Replicas[1].S3.PathStyle = "media.eu", true }},
	} {
		e := kept()
		c.change(e, &e.Buckets[0])
		if p := Validate(e); len(p) > 0 {
			t.Errorf("%s: not valid: %v", c.want, lines(p))
		}
		got := lines(Advise(e))
		found := c.want == "" && len(got) == 0
		for _, line := range got {
			found = found || c.want != "" && strings.HasPrefix(line, c.want)
		}
		if !found {
			t.Errorf("want %q, got %q", c.want, got)
		}
	}
}

func TestPlacesAreNamedForGood(t *testing.T) {
	s3 := func(bucket, region, endpoint string) Replica {
		return Replica{S3: &S3Bucket{Bucket: bucket, Region: region, Endpoint: endpoint, AccessKey: "a", SecretKey: "b"}}
	}
	heads := func(r Replica, bucket, prefix string) Replica {
		r.HeadsBucket, r.HeadsPrefix = bucket, prefix
		return r
	}
	for _, c := range []struct {
		r           Replica
		data, heads string
	}{
		{s3("media", "us-east-1", ""), "s3://media@amazonaws.com", "s3://media-spare@amazonaws.com"},
		{s3("media", "eu-west-1", "https://s3.eu-west-1.amazonaws.com"), "s3://media@amazonaws.com", "s3://media-spare@amazonaws.com"},
		{s3("media", "cn-north-1", ""), "s3://media@amazonaws.com.cn", "s3://media-spare@amazonaws.com.cn"},
		{s3("media", "", "https://Storage.example.com:443/"), "s3://media@storage.example.com", "s3://media-spare@storage.example.com"},
		{s3("media", "", "http://storage.example.com:443"), "s3://media@storage.example.com:443", "s3://media-spare@storage.example.com:443"},
		{s3("media", "", "https://notamazonaws.com"), "s3://media@notamazonaws.com", "s3://media-spare@notamazonaws.com"},
		{heads(s3("media", "us-east-1", ""), "heads", ""), "s3://media@amazonaws.com", "s3://heads@amazonaws.com"},
		{heads(s3("media", "us-east-1", ""), "", ".spare/"), "s3://media@amazonaws.com", "s3://media@amazonaws.com/.spare/"},
		{heads(s3("media", "us-east-1", ""), "heads", "media/"), "s3://media@amazonaws.com", "s3://heads@amazonaws.com/media/"},
		{Replica{File: "/srv/my media"}, "file:///srv/my%20media", "file:///srv/my%20media-spare"},
		{heads(Replica{File: "/srv/media"}, "", ".spare/"), "file:///srv/media", "file:///srv/media/.spare/"},
	} {
		e := Estate{Buckets: []Bucket{{Replicas: []Replica{c.r}}}}
		for range 2 { // with defaults filled in they are the same
			r := &e.Buckets[0].Replicas[0]
			if diff := cmp.Diff([]string{c.data, c.heads}, []string{r.Where(), r.HeadsWhere()}); diff != "" {
				t.Error(diff)
			}
			e.Default()
		}
	}
}

func TestSecretsShowInNoDump(t *testing.T) {
	e := kept()
	e.Notify.Webhook = &Webhook{URL: "https://hooks.example.com/" + clientSecret, Secret: clientSecret}
	var dumps []string
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		dumps = append(dumps, fmt.Sprintf(verb, *e), fmt.Sprintf(verb, e.Credentials), fmt.Sprintf(verb, e.Buckets), fmt.Sprintf(verb, e.Buckets[0].Replicas[0].S3), fmt.Sprintf(verb, e.Notify.Webhook))
	}
	raw, err := json.Marshal([]any{e.Credentials, e.Buckets})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range append(dumps, string(raw), e.Buckets[0].Replicas[0].Where(), e.Buckets[0].Replicas[0].HeadsWhere()) {
		for _, s := range []string{clientSecret, providerSecret} {
			if strings.Contains(d, s) || strings.Contains(d, fmt.Sprintf("%x", s)) {
				t.Errorf("a secret shows in %s", d)
			}
		}
	}
	if all := strings.Join(dumps, ""); !strings.Contains(all, "AKIA") || !strings.Contains(all, "media-eu") {
		t.Error("what is no secret is missing")
	}
}

func TestCredentialAllowsWhatItSays(t *testing.T) {
	all := Credential{Rights: RightsAdmin}
	one := Credential{Rights: RightsWrite, Buckets: []BucketID{"media"}}
	for _, c := range []struct {
		c     Credential
		id    BucketID
		right Rights
		want  bool
	}{
		{all, "media", RightsAdmin, true}, {all, "other", RightsRead, true}, {all, "media", "", false},
		{one, "media", RightsRead, true}, {one, "media", RightsWrite, true}, {one, "media", RightsAdmin, false}, {one, "other", RightsRead, false},
		{Credential{}, "media", RightsRead, false}, {Credential{}, "media", "", false},
	} {
		if got := c.c.Allows(c.id, c.right); got != c.want {
			t.Errorf("%v allows %q of %s: %t, want %t", c.c, c.right, c.id, got, c.want)
		}
	}
}

func TestBucketNamesFollowS3(t *testing.T) {
	for name, want := range map[string][2]bool{ // at AWS, elsewhere
		"abc": {true, true}, "a.b-c": {true, true}, "1ab": {true, true}, strings.Repeat("a", 63): {true, true},
		"a_b": {false, true}, "ab": {}, strings.Repeat("a", 64): {}, "Abc": {}, "-ab": {}, "ab-": {}, "ab.": {}, "_ab": {}, "a..b": {},
		"10.0.0.1": {}, "xn--abc": {}, "abc-s3alias": {}, "a b": {}, "": {}, "äbc": {},
	} {
		if got := [2]bool{bucketName(name, false), bucketName(name, true)}; got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
}

func TestDefaultsOfBuckets(t *testing.T) {
	e := kept()
	b, ok := e.Bucket("media")
	if !ok || b.Read != ReadStrong || b.MaxAge != 0 || b.Faults() != 1 || b.Data() != 3 || e.Listen.S3 != ":9000" {
		t.Errorf("%+v, listen %+v", b, e.Listen)
	}
	r, ok := b.Replica("belgium")
	if !ok || r.S3.Region != DefaultRegion || r.HeadsBucket != "media-eu-spare" {
		t.Errorf("%+v", r)
	}
	if r, _ := b.Replica("basement"); r.File != "/srv/media" || r.HeadsBucket != "/srv/media-spare" {
		t.Errorf("%+v", r)
	}
	b.Read = ReadBounded
	e.Listen.S3Domain = "S3.Example.com"
	e.Credentials[0].Rights = ""
	e.Default()
	if e.Listen.S3Domain != "s3.example.com" {
		t.Errorf("domain %q", e.Listen.S3Domain)
	}
	if b.MaxAge != DefaultMaxAge || e.Credentials[0].Rights != RightsRead {
		t.Errorf("max age %v, rights %q", b.MaxAge, e.Credentials[0].Rights)
	}
}
