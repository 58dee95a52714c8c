package estate

import (
	"net/url"
	"strings"
)

// companion ends the name of the bucket, or folder, where heads go unless the
// file says otherwise.
const companion = "-spare"

// own gives the replica's bucket or folder.
func (r *Replica) own() string {
	if r.S3 != nil {
		return r.S3.Bucket
	}
	return r.File
}

// Heads gives the bucket, or folder, where the replica's heads are kept, and
// the prefix of their keys there.
func (r *Replica) Heads() (place, prefix string) {
	switch {
	case r.HeadsBucket != "":
		return r.HeadsBucket, r.HeadsPrefix
	case r.HeadsPrefix != "":
		return r.own(), r.HeadsPrefix
	default:
		return r.own() + companion, ""
	}
}

// Where names the replica's bucket or folder for good and without secrets:
// "s3://media@storage.example.com", "file:///srv/media". Two replicas of which
// it is the same hold the same objects. AWS is one place whatever the region
// and endpoint, because no two of its buckets have the same name.
func (r *Replica) Where() string { return r.at(r.own()) }

// HeadsWhere names in the same way where the replica's heads are kept. A
// prefix follows behind a slash: "s3://media@storage.example.com/.spare/".
func (r *Replica) HeadsWhere() string {
	place, prefix := r.Heads()
	if prefix == "" {
		return r.at(place)
	}
	return r.at(place) + "/" + prefix
}

func (r *Replica) at(place string) string {
	if r.S3 != nil {
		return "s3://" + place + "@" + r.S3.provider()
	}
	return folder(place)
}

func folder(path string) string { return (&url.URL{Scheme: "file", Path: path}).String() }

// provider gives the host that tells the bucket's provider from others, with
// the port unless it is its scheme's own.
func (s *S3Bucket) provider() string {
	const aws, china = "amazonaws.com", "amazonaws.com.cn"
	if s.Endpoint == "" {
		if strings.HasPrefix(s.Region, "cn-") {
			return china
		}
		return aws
	}
	u, err := url.Parse(s.Endpoint)
	if err != nil {
		return ""
	}
	host := strings.ToLower(u.Host)
	switch u.Scheme {
	case "http":
		host = strings.TrimSuffix(host, ":80")
	case "https":
		host = strings.TrimSuffix(host, ":443")
	}
	for _, one := range []string{aws, china} {
		if host == one || strings.HasSuffix(host, "."+one) {
			return one
		}
	}
	return host
}
