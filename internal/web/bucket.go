package web

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/journal"
	"github.com/sparecloud/spare/internal/web/session"
)

// bucketMap is the map of sites and buckets.
type bucketMap struct {
	Groups []group // of columns
	Sites  []apiv1.Site
	Rows   []bucketRow
}

// bucketRow is one bucket.
type bucketRow struct {
	apiv1.Bucket
	Does  string       // what its users can do
	Cells []bucketCell // one for each of the map's sites
}

// bucketCell is a bucket's replica at a site.
type bucketCell struct {
	*apiv1.Replica        // nil: it is not there
	Site           string // of the column
	Holds          string // "objects", or "heads" for a witness
	Lacks          string // what it is behind by; "" = nothing
}

// Lag is how long the oldest of the keys that the replica lacks something of
// has been waiting.
func (c bucketCell) Lag() string { return span(time.Duration(c.LagS * float64(time.Second))) }

// bucketsOf lays out buckets. Columns are the sites at which they are.
func bucketsOf(declared []apiv1.Site, list []apiv1.Bucket) bucketMap {
	var used []string
	for i := range list {
		for _, r := range list[i].Replicas {
			used = append(used, r.Site)
		}
	}
	m := bucketMap{}
	m.Sites, m.Groups = columns(declared, used)
	for i := range list {
		m.Rows = append(m.Rows, bucketRowOf(&list[i], m.Sites))
	}
	return m
}

func bucketRowOf(b *apiv1.Bucket, sites []apiv1.Site) bucketRow {
	row := bucketRow{Bucket: *b, Does: does(b.State), Cells: make([]bucketCell, len(sites))}
	for i, site := range sites {
		row.Cells[i].Site = site.ID
		if k := slices.IndexFunc(b.Replicas, func(r apiv1.Replica) bool { return r.Site == site.ID }); k >= 0 {
			row.Cells[i] = replicaCell(&b.Replicas[k])
		}
	}
	return row
}

func replicaCell(r *apiv1.Replica) bucketCell {
	c := bucketCell{Replica: r, Site: r.Site, Holds: "objects"}
	if r.Witness {
		c.Holds = "heads"
	}
	if r.Behind > 0 || r.More {
		c.Lacks = num(r.Behind)
		if r.More {
			c.Lacks += " or more"
		}
		c.Lacks += " behind"
		if r.LagS > 0 {
			c.Lacks += " for " + c.Lag()
		}
	}
	return c
}

// does says what a bucket's users can do.
func does(state string) string {
	switch state {
	case apiv1.BucketUp, apiv1.BucketDegraded:
		return "reads and takes writes"
	case apiv1.BucketReadOnly:
		return "reads, lists and deletes; takes no PUTs"
	case apiv1.BucketDown:
		return "neither reads nor writes"
	}
	return "nothing is known"
}

var ofBuckets = choice[apiv1.Bucket]{"bucket",
	func(b *apiv1.Bucket) bool { return b.State != apiv1.BucketUp },
	func(b *apiv1.Bucket, text string) bool { return strings.Contains(strings.ToLower(b.ID), text) },
}

// bucketsPage lists buckets.
type bucketsPage struct {
	Selection selection
	Map       bucketMap
}

func (c *Console) buckets(r *http.Request, _ *session.Session) (view, error) {
	st, err := c.status(r.Context())
	if err != nil {
		return view{}, err
	}
	sel, rows, err := choose(r, st.Buckets, ofBuckets)
	if err != nil {
		return view{}, err
	}
	return view{template: "buckets", title: "Buckets", nav: "buckets", live: true,
		body: bucketsPage{Selection: sel, Map: bucketsOf(st.Sites, rows)}}, nil
}

// bucketPage is one bucket.
type bucketPage struct {
	bucketRow
	Sites   map[string]apiv1.Site
	Service string // its name in the journal
	Losses  []loss
	Lost    bool   // a site is lost already
	Needs   string // what the losses are judged by
	Tallies []bucketTally
	Open    []apiv1.Incident // that touch it
	Journal []journal.Entry
}

func (c *Console) bucket(r *http.Request, _ *session.Session) (view, error) {
	st, err := c.status(r.Context())
	if err != nil {
		return view{}, err
	}
	id := r.PathValue("id")
	i := slices.IndexFunc(st.Buckets, func(b apiv1.Bucket) bool { return b.ID == id })
	if i < 0 {
		return view{}, errs.E(errs.NotFound, "bucket %q is not in the estate", id)
	}
	b := &st.Buckets[i]
	p := bucketPage{Sites: map[string]apiv1.Site{}, Service: apiv1.BucketService(id), Tallies: bucketTallies(b.Counts)}
	p.Losses, p.Needs = losses(b)
	p.Lost = slices.ContainsFunc(p.Losses, func(l loss) bool { return l.Already })
	sites := make([]apiv1.Site, len(b.Replicas))
	for k := range b.Replicas {
		sites[k].ID = b.Replicas[k].Site
	}
	p.bucketRow = bucketRowOf(b, sites)
	for _, site := range st.Sites {
		p.Sites[site.ID] = site
	}
	open, err := c.incidentsOpen(r.Context())
	if err != nil {
		return view{}, err
	}
	for _, in := range open {
		if slices.Contains(in.Services, p.Service) {
			p.Open = append(p.Open, in)
		}
	}
	p.Journal, _, err = c.Backend.Entries(r.Context(), journal.Query{Service: estate.ServiceID(p.Service), Limit: overviewEntries})
	return view{template: "bucket", title: id, nav: "buckets", live: true, body: p}, err
}

// loss is what the loss of a site would leave of a bucket.
type loss struct {
	Site        string
	Already     bool // it is lost now
	Reads, Puts bool // go on
}

// losses says of each site what its loss, beside what is lost now, would take,
// and by what rule. Reads, lists and deletes need a majority of the replicas; a
// PUT's bytes must be at one more site than may be lost.
func losses(b *apiv1.Bucket) ([]loss, string) {
	n := len(b.Replicas)
	if n == 0 {
		return nil, ""
	}
	majority, copies := n/2+1, (n-1)/2+1
	up, data := 0, 0
	for _, r := range b.Replicas {
		if r.State == "up" {
			up++
			if !r.Witness {
				data++
			}
		}
	}
	var list []loss
	for _, r := range b.Replicas {
		l := loss{Site: r.Site, Already: r.State != "up", Reads: up > majority}
		left := data
		if !r.Witness {
			left--
		}
		l.Puts = l.Reads && left >= copies
		list = append(list, l)
	}
	return list, fmt.Sprintf("Reads, lists and deletes need %d of %d sites. PUTs also need %d sites that take the object, unless the estate file says degraded: allow.", majority, n, copies)
}

// bucketTally is one of a bucket's counts.
type bucketTally struct {
	Name  string
	N     uint64
	About string
	Bad   bool // when there are any
}

func bucketTallies(n apiv1.BucketCounts) []bucketTally {
	return []bucketTally{
		{"Without a majority", n.NoQuorum, "Operations that failed because too few replicas answered.", true},
		{"PUTs refused", n.Refused, "Too few sites took the object, so nothing was acknowledged.", true},
		{"Damaged copies", n.Corrupt, "Copies that did not match their checksum; another was served.", true},
		{"Thin writes", n.Thin, "Acknowledged before all replicas had the object; repair brings it to the others.", false},
		{"Settled", n.Settled, "Writes that failed at first and were found to have happened.", false},
		{"Written back", n.WriteBacks, "Reads that first completed another client's write.", false},
		{"Hedged", n.Hedges, "Objects asked for at a second replica because the first was slow.", false},
		{"Switched", n.Switches, "Objects continued from another replica in mid-stream.", false},
		{"Repaired", n.Repaired, "Keys brought back to the same state everywhere.", false},
	}
}
