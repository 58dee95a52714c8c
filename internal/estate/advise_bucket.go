package estate

import (
	"net/url"
	"strings"
)

// weigh says what a bucket's settings do not survive, or promise in vain.
func (v *validator) weigh(b *Bucket, sites map[SiteID]Site) {
	at := Key("buckets", string(b.ID))
	data, f := b.Data(), b.Faults()
	switch {
	case b.Degraded && data == len(b.Replicas):
		v.add(at+".degraded", "is not needed: objects are at %d sites, and a PUT survives the loss of %d as it is", data, f)
	case !b.Degraded && data == f+1:
		v.add(at+".replicas", "keep objects at %d sites, all of which a PUT needs: reads, deletes and lists survive the loss of one, PUTs do not; "+
			"take witness: true off one, or set degraded: allow", data)
	}
	if o := b.Objective; b.Degraded && o.RPOSet && o.RPO == 0 {
		v.add(at+".objective.rpo", "is not kept by degraded: allow: a PUT acknowledged while sites are down may be at one site only")
	}
	v.fates(at+".replicas", b, sites)
	for i := range b.Replicas {
		if r := &b.Replicas[i]; r.S3 != nil {
			v.transport(Key(at+".replicas", string(r.Site))+".s3", r.S3)
		}
	}
}

// fates says when one outage takes more replicas than a bucket can lose.
func (v *validator) fates(at string, b *Bucket, sites map[SiteID]Site) {
	var providers, regions, folders, doors []string
	for i := range b.Replicas {
		r := &b.Replicas[i]
		s := sites[r.Site]
		regions = append(regions, s.Provider+" "+s.Region)
		if s.Provider != "self" { // whose machines are not one outage
			providers = append(providers, s.Provider)
		}
		switch {
		case r.S3 == nil:
			folders = append(folders, "this machine")
		case r.S3.Endpoint != "" && !strings.HasPrefix(r.S3.provider(), "amazonaws.com"): // which is many
			doors = append(doors, r.S3.provider())
		}
	}
	f := b.Faults()
	switch {
	case crowd(regions) > f:
		v.add(at, "are most of them in one region of one provider: its outage takes the bucket")
	case crowd(folders) > f:
		v.add(at, "are most of them folders of one machine: its loss takes the bucket")
	case crowd(doors) > f:
		v.add(at, "are most of them behind one endpoint: its outage takes the bucket")
	case crowd(providers) == len(b.Replicas):
		v.add(at, "are all at one provider: its outage takes the bucket")
	}
}

// crowd counts the name that stands in the list most often.
func crowd(list []string) (most int) {
	count := map[string]int{}
	for _, name := range list {
		count[name]++
		most = max(most, count[name])
	}
	return most
}

// transport says what a provider's address or name gives away or breaks.
func (v *validator) transport(at string, s *S3Bucket) {
	u, err := url.Parse(s.Endpoint)
	if err != nil {
		return
	}
	// A name without a dot is looked up on this network.
	if u.Scheme == "http" && !private(u.Hostname()) && strings.Contains(u.Hostname(), ".") {
		v.add(at+".endpoint", "is http beyond this network: objects pass in the clear")
	}
	if strings.Contains(s.Bucket, ".") && u.Scheme != "http" && !s.PathStyle {
		v.add(at+".bucket", `holds a dot, so certificates such as *.s3.amazonaws.com do not fit its host; set path_style: true`)
	}
}

// access says which buckets no client may use, and which credentials open none.
func (v *validator) access() {
	if len(v.e.Buckets) == 0 {
		if len(v.e.Credentials) > 0 {
			v.add("credentials", "open nothing: no bucket is declared")
		}
		return
	}
	if len(v.e.Credentials) == 0 {
		v.add("buckets", "can be used by nobody: no credential is declared")
		return
	}
	open := map[BucketID]bool{}
	for _, c := range v.e.Credentials {
		if len(c.Buckets) == 0 {
			return
		}
		for _, id := range c.Buckets {
			open[id] = true
		}
	}
	for _, b := range v.e.Buckets {
		if !open[b.ID] {
			v.add(Key("buckets", string(b.ID)), "can be used by nobody: no credential names it")
		}
	}
}
