package config

import (
	"regexp"
	"time"

	"github.com/sparecloud/spare/internal/estate"
)

const bucketPattern = `^[a-z0-9][a-z0-9-]{1,61}[a-z0-9]$`

var (
	folderText  = text{regexp.MustCompile(`^/|\$\{`), "a folder as an absolute path", "/srv/media"}
	endpointURL = text{webURL.pattern, "an http or https URL such as https://storage.example.com", "https://storage.example.com"}
)

var bucketShape = record(
	at("replicas", func(b *estate.Bucket) *[]estate.Replica { return &b.Replicas },
		named[estate.Replica]{
			make: func(name string) estate.Replica { return estate.Replica{Site: estate.SiteID(name)} },
			item: replicaShape, key: labelPattern, noun: "replicas",
		},
		"Where it is kept, by site, in order of preference; an odd number, three at least.").must(),
	at("degraded", func(b *estate.Bucket) *bool { return &b.Degraded }, either{no: "refuse", yes: "allow"},
		"What becomes of a PUT whose bytes reach too few sites to survive a loss.").or("refuse"),
	at("read", func(b *estate.Bucket) *estate.ReadLevel { return &b.Read },
		choice[estate.ReadLevel]{[]estate.ReadLevel{estate.ReadStrong, estate.ReadBounded, estate.ReadLocal}},
		"strong gives what was acknowledged last, bounded what was so at most max_age ago, local what the nearest replica holds, however old.").or(estate.ReadStrong),
	at("max_age", func(b *estate.Bucket) *time.Duration { return &b.MaxAge }, duration{},
		"Age that an answer may have under read: bounded. Without it: 5s."),
	at("conditional", func(b *estate.Bucket) *bool { return &b.Conditional }, boolean{},
		"Whether clients may write under conditions, such as If-None-Match. Not offered yet.").or(false),
	at("adopt", func(b *estate.Bucket) *estate.SiteID { return &b.Adopt }, word[estate.SiteID]{text{like: "virginia"}},
		"Site of the replica whose bucket held objects before Spare did; until they are adopted they are read from there."),
	at("objective", func(b *estate.Bucket) *estate.Objective { return &b.Objective }, objectiveShape,
		"What it promises."),
)

var replicaShape = record(
	at("s3", func(r *estate.Replica) **estate.S3Bucket { return &r.S3 }, optional[estate.S3Bucket]{s3Shape},
		"Bucket of a provider that speaks S3."),
	at("file", func(r *estate.Replica) *string { return &r.File }, folderText,
		"Folder of this machine."),
	at("witness", func(r *estate.Replica) *bool { return &r.Witness }, boolean{},
		"Whether it holds heads, a small record for each key, and no objects.").or(false),
	at("heads", itself[estate.Replica], headsShape,
		"Where its heads go. Without it, the companion: the bucket or folder with -spare behind its name."),
).oneOf("s3", "file")

var s3Shape = record(
	at("bucket", func(s *estate.S3Bucket) *string { return &s.Bucket }, text{like: "media"},
		"Name of the bucket at the provider.").must(),
	at("region", func(s *estate.S3Bucket) *string { return &s.Region }, text{like: "us-east-1"},
		"Region that requests are signed for. With an endpoint it may be left out: us-east-1."),
	at("endpoint", func(s *estate.S3Bucket) *string { return &s.Endpoint }, endpointURL,
		"Scheme, host and port of the provider; without it, AWS."),
	at("access_key", func(s *estate.S3Bucket) *string { return &s.AccessKey }, text{like: "${env:MEDIA_ACCESS_KEY}"},
		"Access key ID of the provider.").must(),
	at("secret_key", func(s *estate.S3Bucket) *string { return &s.SecretKey }, secret{"${env:MEDIA_SECRET_KEY}"},
		"Secret access key of the provider, by reference.").must(),
	at("session_token", func(s *estate.S3Bucket) *string { return &s.SessionToken }, secret{"${env:MEDIA_SESSION_TOKEN}"},
		"Session token that temporary keys need, by reference."),
	at("path_style", func(s *estate.S3Bucket) *bool { return &s.PathStyle }, boolean{},
		"Whether the bucket's name stands in the path of a request, not in its host.").or(false),
)

var headsShape = record(
	at("bucket", func(r *estate.Replica) *string { return &r.HeadsBucket }, text{like: "media-heads"},
		"Another bucket of the same provider and account, or another folder."),
	at("prefix", func(r *estate.Replica) *string { return &r.HeadsPrefix }, text{like: ".spare/"},
		"Prefix of the heads' keys, ending in a slash; without bucket, in the replica's own."),
).anyOf("bucket", "prefix")

var credentialShape = record(
	at("access_key", func(c *estate.Credential) *string { return &c.AccessKey }, text{like: "app"},
		"Access key ID that the client signs with.").must(),
	at("secret_key", func(c *estate.Credential) *string { return &c.SecretKey }, secret{"${env:APP_SECRET}"},
		"Secret access key that the client signs with, by reference; 8 characters at least.").must(),
	at("buckets", func(c *estate.Credential) *[]estate.BucketID { return &c.Buckets },
		sequence[estate.BucketID]{of: word[estate.BucketID]{text{like: "media"}}, least: 1, like: "[media]"},
		"Buckets that it opens; without them, every one."),
	at("rights", func(c *estate.Credential) *estate.Rights { return &c.Rights },
		choice[estate.Rights]{[]estate.Rights{estate.RightsRead, estate.RightsWrite, estate.RightsAdmin}},
		"read gets and lists objects, write puts and deletes them too, admin also changes what belongs to a bucket itself.").or(estate.RightsRead),
)
