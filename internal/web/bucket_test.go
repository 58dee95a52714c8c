package web_test

import (
	"strings"
	"testing"

	"github.com/sparecloud/spare/internal/api/apitest"
	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/journal"
)

// withMedia is the shop with an incident and an entry about its bucket.
func withMedia() *apitest.Backend {
	b := apitest.New()
	b.List[0].Services = []string{"bucket/media", "shop"}
	b.Append(journal.Entry{At: apitest.Noon, Kind: journal.KindVerdict, Level: journal.Error, Service: estate.BucketTarget("media", "virginia").Service,
		Site: "virginia", Message: "bucket media at virginia down: connection <refused>"})
	return b
}

func TestBucketPagesSayHowBucketsStand(t *testing.T) {
	b := open(console(withMedia()))
	for target, texts := range map[string][]string{
		"/":                            {`href="/buckets/media"`, "Read-only", "1 read-only", "12 behind for 1 min 25 s", "heads", "Sites and buckets"},
		"/buckets":                     {`href="/buckets/media"`, "takes no PUTs", "basement"},
		"/buckets?q=MED":               {`href="/buckets/media"`},
		"/buckets?q=none":              {"No bucket matches."},
		"/buckets/media":               {"s3://media-eu@storage.example.com", "connection refused", "12 keys", "1 min 25 s", "40.0 MiB read", "31 failed", "connection &lt;refused&gt;", `href="/incidents/2026-03-01-7fbd2c"`, "PUTs refused", "is lost already"},
		"/journal/4":                   {`<a href="/buckets/media">bucket media</a>`},
		"/journal":                     {`value="bucket/media"`},
		"/services/shop":               {`href="/buckets"`},
		"/incidents/2026-03-01-7fbd2c": {`<a href="/buckets/media">bucket media</a>, <a href="/services/shop">shop</a>`},
	} {
		body := b.get(target).Body.String()
		for _, text := range texts {
			if !strings.Contains(body, text) {
				t.Errorf("%s: without %q", target, text)
			}
		}
	}
	for target, code := range map[string]int{"/buckets/none": 404, "/buckets?show=odd": 400, "/buckets?page=0": 400} {
		if w := b.get(target); w.Code != code {
			t.Errorf("%s: %d, want %d", target, w.Code, code)
		}
	}
	if strings.Contains(b.get("/buckets/media").Body.String(), "bucket/media at") {
		t.Error("the mark of buckets is shown")
	}
}

func TestEstateWithoutBucketsShowsNone(t *testing.T) {
	back := apitest.New()
	back.Doc.Buckets = nil
	b := open(console(back))
	if body := b.get("/").Body.String(); strings.Contains(body, `href="/buckets"`) || !strings.Contains(body, `aria-labelledby="buckets-title" hidden`) {
		t.Error("an estate without buckets speaks of them")
	}
	if body := b.get("/buckets").Body.String(); !strings.Contains(body, "declares no buckets") {
		t.Error("nothing is said")
	}
}

// survives reads the table of what a loss leaves: "site: reads, PUTs".
func survives(body string) string {
	_, body, _ = strings.Cut(body, `id="survives"`)
	body, _, _ = strings.Cut(body, "</tbody>")
	var words []string
	for _, row := range strings.Split(body, `<th scope="row" class="whole">`)[1:] {
		site, rest, _ := strings.Cut(row, "</th>")
		word := site
		for _, cell := range strings.Split(rest, "<td")[1:] {
			switch {
			case strings.Contains(cell, "Go on"):
				word += " yes"
			case strings.Contains(cell, "Stop"):
				word += " no"
			default:
				word += " lost"
			}
		}
		words = append(words, word)
	}
	return strings.Join(words, ", ")
}

// With a witness, the loss of a site with objects ends PUTs; three sites with
// objects survive the loss of any; and what is lost already counts.
func TestLossesAreTheProtocols(t *testing.T) {
	for _, c := range []struct {
		witness, down string
		want          string
	}{
		{"c", "", "a yes no, b yes no, c yes yes"},
		{"", "", "a yes yes, b yes yes, c yes yes"},
		{"", "a", "a lost, b no no, c no no"},
		{"c", "c", "a no no, b no no, c lost"},
	} {
		back := apitest.New()
		bucket := apiv1.Bucket{ID: "media", State: apiv1.BucketUp}
		for _, site := range []string{"a", "b", "c"} {
			r := apiv1.Replica{Site: site, State: "up", Witness: site == c.witness}
			if site == c.down {
				r.State = "down"
			}
			bucket.Replicas = append(bucket.Replicas, r)
		}
		back.Doc.Buckets = []apiv1.Bucket{bucket}
		if got := survives(open(console(back)).get("/buckets/media").Body.String()); got != c.want {
			t.Errorf("witness %q, down %q: %s, want %s", c.witness, c.down, got, c.want)
		}
	}
}

func TestBucketOfWhichNothingIsKnownHasAPage(t *testing.T) {
	back := apitest.New()
	back.Doc.Buckets = []apiv1.Bucket{{ID: "media", State: apiv1.BucketUnknown, Reason: "no <data> process"}}
	b := open(console(back))
	for _, target := range []string{"/", "/buckets", "/buckets/media"} {
		if w := b.get(target); w.Code != 200 || !strings.Contains(w.Body.String(), "Unknown") {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
	if body := b.get("/buckets/media").Body.String(); !strings.Contains(body, "no &lt;data&gt; process") || !strings.Contains(body, "Nothing is known of its replicas") {
		t.Error("the reason is not shown")
	}
}

func TestNamesOfBucketsAreTheEstates(t *testing.T) {
	name := string(estate.BucketTarget("media", "virginia").Service)
	if id, ok := apiv1.BucketOf(name); !ok || id != "media" || apiv1.BucketService("media") != name {
		t.Errorf("%q is %q, %t", name, id, ok)
	}
}
