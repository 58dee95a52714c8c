package setup

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/config"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
)

var shop = Answers{
	Service: "shop", Host: "shop.example.com",
	Places: []Place{{"aws", "us-east-1", "https://a.example.com"}, {"gcp", "europe-west1", "https://b.example.com/base"}},
}

// declared reads a file back into answers.
func declared(t *testing.T, file []byte) Answers {
	t.Helper()
	e, err := config.Parse("/etc/spare/spare.yaml", file, config.Options{})
	if err != nil {
		t.Fatalf("%v\n%s", err, file)
	}
	s := e.Services[0]
	a := Answers{Service: string(s.ID), Host: AnyHost, Check: s.Check.Path, Listen: e.Listen.HTTP, API: e.Listen.API, Data: e.Data}
	if len(s.Hosts) > 0 {
		a.Host = s.Hosts[0]
	}
	for i, o := range s.Origins {
		site := e.Sites[i]
		if site.ID != o.Site {
			t.Errorf("origin %d is at %s, not at %s", i, o.Site, site.ID)
		}
		a.Places = append(a.Places, Place{site.Provider, site.Region, o.URL})
	}
	return a
}

func TestFileDeclaresTheAnswers(t *testing.T) {
	for _, a := range []Answers{shop, {Service: "a", Places: shop.Places[:1], Data: "/x y/$${env:A}/${b}", Listen: "127.0.0.1:8080"}} {
		file, err := a.File()
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(a.Defaults(), declared(t, file)); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
	}
}

// What the file shows in comments must be right once the comment marks are
// gone.
func TestBucketInCommentsIsRight(t *testing.T) {
	for _, places := range [][]Place{shop.Places, shop.Places[:1], {{"gcp", "no", "http://a"}, {"aws", "010", "http://b"}, {"self", "x", "http://c"}}} {
		a := shop
		a.Places = places
		file, err := a.File()
		if err != nil {
			t.Fatal(err)
		}
		text := string(file)
		from := strings.Index(text, "# buckets:\n")
		to := from + strings.Index(text[from:], "\n\n")
		block := strings.TrimPrefix(strings.ReplaceAll(text[from:to], "\n# ", "\n"), "# ")
		text = strings.Replace(text[:from]+block+text[to:], "\nsites:\n", "\nsites:\n  witness-site: {provider: self, region: witness}\n", 1)
		if len(places) < 2 {
			text = strings.Replace(text, "\nsites:\n", "\nsites:\n  spare-site: {provider: gcp, region: europe-west1}\n", 1)
		}
		e, err := config.Parse("spare.yaml", []byte(text), config.Options{LookupEnv: func(string) (string, bool) { return "something", true }})
		if err != nil {
			t.Errorf("%v\n%s", err, text)
			continue
		}
		if b, ok := e.Bucket("media"); !ok || len(b.Replicas) != 3 || b.Data() != 2 || len(e.Credentials) != 1 {
			t.Errorf("%+v, %v", b, e.Credentials)
		}
	}
}

func TestTwoPlacesOfOneRegionAreTwoSites(t *testing.T) {
	a := shop
	a.Places = []Place{{"aws", "eu", "http://a"}, {"aws", "eu", "http://b"}, {"AWS", "EU", "http://c"}, {"ä", "ö", "http://d"}}
	if d := cmp.Diff([]string{"aws-eu", "aws-eu-2", "aws-eu-3", "site"}, a.siteIDs()); d != "" {
		t.Error(d)
	}
	a.Places = a.Places[:2]
	if file, err := a.File(); err != nil || len(declared(t, file).Places) != 2 {
		t.Error(err)
	}
	if w := strings.Join(a.Warnings(), "\n"); !strings.Contains(w, "one outage takes both") {
		t.Errorf("warnings %q", w)
	}
}

// Whatever the answers are: either they are refused, or the file passes the
// check and says just what was answered.
func TestFilePassesTheCheckWhateverTheAnswers(t *testing.T) {
	seed := rand.Uint64()
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	r := rand.New(rand.NewPCG(seed, 0))
	good := 0
	for range 4000 {
		a := anyAnswers(r)
		file, err := a.File()
		switch {
		case err == nil:
			good++
			want := a.Defaults()
			want.Host = strings.ToLower(want.Host)
			if !strings.HasPrefix(want.Data, "/") {
				want.Data = path.Join("/etc/spare", want.Data) // the file's folder
			}
			if got := declared(t, file); path.Clean(got.Data) != path.Clean(want.Data) {
				t.Fatalf("data folder %q, want %q", got.Data, want.Data)
			} else if d := cmp.Diff(want, got); d != "" {
				t.Fatalf("%+v (-want +got):\n%s", a, d)
			}
		case !errs.Is(err, errs.Invalid):
			t.Fatalf("%+v: %v", a, err)
		}
	}
	if good < 100 {
		t.Errorf("only %d answers were right: nothing was tested", good)
	}
}

// anyAnswers mixes right answers with hostile ones.
func anyAnswers(r *rand.Rand) Answers {
	pick := func(right ...string) string {
		if r.IntN(12) > 0 {
			return right[r.IntN(len(right))]
		}
		parts := []string{"\"", "'", "\n", ": ", "# ", "{", "}", "[", "]", ",", "&a", "*a", "!!str", "|", ">", "%", "@", "`", "${env:HOME}", "$${", "${", "\\", "\\u0000",
			"\x00", "\x1b", "\u2028", "\ufeff", "\xff", "é", "~", "null", "true", "1", "0x1", "---", "...", " ", "\t", "a", "shop", "http://", "/", "..", strings.Repeat("x", 70)}
		var b strings.Builder
		for range r.IntN(5) {
			b.WriteString(parts[r.IntN(len(parts))])
		}
		return b.String()
	}
	a := Answers{
		Service: pick("shop", "a-1", "null", "1", "true"), Host: pick("", "any", "Shop.Example.com", "*.example.com"), Check: pick("", "/", "/healthz?a=\"b\"", "/${x}"),
		Listen: pick("", ":80", "127.0.0.1:8080", "[::1]:80"), Data: pick("", "/var/lib/spare", "/a \"b\"", "/$${env:A}", "relative"),
	}
	for range 1 + r.IntN(3) {
		a.Places = append(a.Places, Place{pick("aws", "gcp", "self"), pick("us-east-1", "paris", "1"), pick("http://127.0.0.1:8001", "https://a.example.com/x${y}", "http://[::1]:1")})
	}
	return a
}

func TestAskTakesDefaultsForEmptyLines(t *testing.T) {
	var out bytes.Buffer
	a, err := Ask(strings.NewReader(strings.Repeat("\n", 20)), &out, Answers{})
	if err != nil {
		t.Fatal(err)
	}
	want := Answers{Service: "shop", Places: []Place{{"aws", "us-east-1", "https://shop-aws.example.com"}, {"gcp", "europe-west1", "https://shop-gcp.example.com"}}}.Defaults()
	a.API = want.API // is not asked for
	if d := cmp.Diff(want, a); d != "" {
		t.Error(d)
	}
	if n := strings.Count(out.String(), "]: "); n != len(questions()) {
		t.Errorf("%d questions:\n%s", n, out.String())
	}
}

func TestAskSaysAtOnceWhatSpareCheckWouldSay(t *testing.T) {
	var out bytes.Buffer
	in := "My Shop\nshop\nhttps://shop.example.com\nshop.example.com\naws\naws:us-east-1=ftp://x\naws:us-east-1=http://10.0.0.1\nnone\nhealthz\n/up\n80\n:8080\n/srv/spare\n"
	a, err := Ask(strings.NewReader(in), &out, Answers{})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	want := Answers{Service: "shop", Host: "shop.example.com", Places: []Place{{"aws", "us-east-1", "http://10.0.0.1"}}, Check: "/up", Listen: ":8080", Data: "/srv/spare"}
	if d := cmp.Diff(want, a); d != "" {
		t.Error(d)
	}
	for _, w := range []string{"is not a name: lower-case letters", "without scheme, port and path", "is not PROVIDER:REGION=URL", "is not an http or https URL", "is not a path; it begins with"} {
		if !strings.Contains(out.String(), w) {
			t.Errorf("did not say %q:\n%s", w, out.String())
		}
	}
	_, checked := config.Parse("spare.yaml", Answers{Service: "My Shop", Places: shop.Places}.Defaults().text(), config.Options{})
	if first, _, _ := strings.Cut(fmt.Sprint(checked), "\n"); !strings.Contains(first, `"My Shop"`) || !strings.Contains(out.String(), strings.SplitN(first, ": ", 2)[1]) {
		t.Errorf("spare check says %q, which was not said:\n%s", first, out.String())
	}
}

func TestAskEndsWithItsInput(t *testing.T) {
	for _, in := range []string{"", "shop\n", "shop\nany\nnot a place\n", strings.Repeat("x", 10000)} {
		_, err := Ask(strings.NewReader(in), &bytes.Buffer{}, Answers{})
		if !errs.Is(err, errs.Invalid) {
			t.Errorf("%.20q: %v", in, err)
		}
	}
	if a, err := Ask(strings.NewReader(""), &bytes.Buffer{}, shop.Defaults()); err != nil || a.Service != "shop" {
		t.Errorf("asked although all was known: %v", err)
	}
}

func TestDefaultsAreTheEstates(t *testing.T) {
	d := Answers{}.Defaults()
	if d.Listen != estate.DefaultHTTP || d.Data != estate.DefaultData || d.API != estate.DefaultAPI {
		t.Errorf("%+v", d)
	}
}
