package config

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
)

var update = flag.Bool("update", false, "write the expected diagnostics of testdata anew")

// Files that show every key: of services, and of buckets.
const (
	examplePath = "../../examples/spare.yaml"
	bucketsPath = "testdata/buckets.yaml"
)

// minimal is the smallest file that is accepted.
const minimal = `version: 1
sites:
  virginia: {provider: aws, region: us-east-1}
  belgium: {provider: gcp, region: europe-west1}
services:
  shop:
    origins:
      virginia: {url: "https://a.example.com"}
      belgium: {url: "https://b.example.com"}
`

const secretValue = "S3cr3t-Value"

// sealed are options without a way to the outside.
func sealed() Options {
	env := map[string]string{"SPARE_WEBHOOK_SECRET": secretValue, "BAD_URL": "ftp://" + secretValue, "EMPTY": "", "PRIMARY": "primary", "WAIT": "250ms", "NEARLY": "primry",
		"MEDIA_ACCESS_KEY": "AKIAEXAMPLE", "MEDIA_SECRET_KEY": secretValue, "MEDIA_SESSION_TOKEN": secretValue, "APP_SECRET": secretValue}
	files := map[string]string{"etc/token": secretValue + "\n", "/abs/token": secretValue, "etc/binary": "\xff\xfe"}
	return Options{
		LookupEnv: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		ReadFile: func(path string) ([]byte, error) {
			if v, ok := files[path]; ok {
				return []byte(v), nil
			}
			return nil, fs.ErrNotExist
		},
	}
}

func parseText(t *testing.T, text string) (*estate.Estate, *Errors) {
	t.Helper()
	e, err := Parse("etc/spare.yaml", []byte(text), sealed())
	if err == nil {
		return e, nil
	}
	var faults *Errors
	if !errors.As(err, &faults) || !errs.Is(err, errs.Invalid) || len(faults.List) == 0 {
		t.Fatalf("error is %T of kind %v, want *Errors of kind invalid: %v", err, errs.KindOf(err), err)
	}
	return nil, faults
}

func TestExampleIsAcceptedWithoutWarning(t *testing.T) {
	opts := sealed()
	opts.ReadFile = nil
	opts.Warn = func(d Diagnostic) { t.Errorf("warning: %s", d) }
	e, err := Load(examplePath, opts)
	if err != nil {
		t.Fatal(err)
	}
	shop, ok := e.Service("shop")
	if !ok || shop.Origins[0].Site != "virginia" || shop.Origins[1].Site != "belgium" {
		t.Errorf("the order of the file is lost: %+v", shop)
	}
	if e.Notify.Webhook.Secret != secretValue || len(e.Digest) != 64 {
		t.Errorf("webhook %+v, digest %q", e.Notify.Webhook, e.Digest)
	}
}

func TestBucketsAreReadWhole(t *testing.T) {
	data, err := os.ReadFile(bucketsPath)
	if err != nil {
		t.Fatal(err)
	}
	opts := sealed()
	opts.Warn = func(d Diagnostic) { t.Errorf("warning: %s", d) }
	e, err := Parse("etc/spare.yaml", data, opts)
	if err != nil {
		t.Fatal(err)
	}
	want := &estate.Estate{
		Listen: estate.Listen{HTTP: estate.DefaultHTTP, API: estate.DefaultAPI, S3: ":9000", S3Domain: "s3.example.com"},
		Buckets: []estate.Bucket{{
			ID: "media", Read: estate.ReadBounded, MaxAge: 2 * time.Second, Adopt: "virginia",
			Objective: estate.Objective{RTO: time.Second, RPOSet: true, Availability: 99.99},
			Replicas: []estate.Replica{
				{Site: "virginia", HeadsBucket: "media-spare", S3: &estate.S3Bucket{Bucket: "media", Region: "us-east-1", AccessKey: "AKIAEXAMPLE", SecretKey: secretValue}},
				{Site: "belgium", HeadsBucket: "heads", HeadsPrefix: "media/", S3: &estate.S3Bucket{
					Bucket: "media-eu", Region: "auto", Endpoint: "https://storage.example.com",
					AccessKey: "AKIAEXAMPLE", SecretKey: secretValue, SessionToken: secretValue, PathStyle: true,
				}},
				{Site: "basement", File: "/srv/media", HeadsBucket: "/srv/media-spare"},
			},
		}},
		Credentials: []estate.Credential{
			{AccessKey: "app", SecretKey: secretValue, Buckets: []estate.BucketID{"media"}, Rights: estate.RightsWrite},
			{AccessKey: "audit", SecretKey: secretValue, Rights: estate.RightsRead},
		},
	}
	got := &estate.Estate{Listen: e.Listen, Buckets: e.Buckets, Credentials: e.Credentials}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestGolden compares the diagnostics of testdata/*.txt: a file, a line
// "-- want --", and what [Errors.Render] prints.
func TestGolden(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no testdata: %v", err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			text, want, _ := strings.Cut(string(data), "-- want --\n")
			var got bytes.Buffer
			opts := sealed()
			opts.Warn = func(d Diagnostic) { fmt.Fprintf(&got, "warning: %s\n", d) }
			_, err = Parse("etc/spare.yaml", []byte(text), opts)
			var faults *Errors
			if errors.As(err, &faults) {
				if err := faults.Render(&got); err != nil {
					t.Fatal(err)
				}
			}
			if strings.Contains(got.String(), secretValue) {
				t.Errorf("a secret is printed:\n%s", got.String())
			}
			if *update {
				if err := os.WriteFile(path, []byte(text+"-- want --\n"+got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(want, got.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDiagnosticSaysWhereWhatAndWhatWasMeant(t *testing.T) {
	_, faults := parseText(t, strings.Replace(minimal, "    origins:", "    orgins:", 1))
	want := []Diagnostic{{
		File: "etc/spare.yaml", Line: 7, Column: 5, Path: "services.shop.orgins", Text: "orgins",
		Message: `unknown key "orgins" in services.shop`, Nearest: "origins",
	}}
	if diff := cmp.Diff(want, faults.List); diff != "" {
		t.Error(diff)
	}
	if got, want := faults.Error(), `etc/spare.yaml:7:5: unknown key "orgins" in services.shop; did you mean "origins"?`; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
}

func TestTheFirstOfTwoEqualKeysCounts(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"  shop: {}\n", `:10:3: duplicate key "shop" in services; it stands on line 6 already`},
		{"    origins: {}\n", `:10:5: duplicate key "origins" in services.shop; it stands on line 7 already`},
		{"      \"virginia\": {}\n", `:10:7: duplicate key "virginia" in services.shop.origins; it stands on line 8 already`},
		{"version: 2\n", `:10:1: duplicate key "version"; it stands on line 1 already`},
	} {
		_, faults := parseText(t, minimal+c.text)
		if faults == nil || len(faults.List) != 1 || faults.Error() != "etc/spare.yaml"+c.want {
			t.Errorf("diagnostics: %v\nwant only %s", faults, c.want)
		}
	}
}

func TestWhatWasMeantIsNotMissing(t *testing.T) {
	without := minimal[:strings.Index(minimal, "services:")]
	for key, want := range map[string]string{
		"servces: {}": `:5:1: unknown key "servces"; did you mean "services"?`,
		"<<: {}":      `:5:1: "<<" is not read; write the keys out`,
		"data: /x":    ":1:1: lacks services and buckets, of which one at least is required",
	} {
		_, faults := parseText(t, without+key+"\n")
		if faults == nil || faults.Error() != "etc/spare.yaml"+want {
			t.Errorf("%s: %v\nwant only %s", key, faults, want)
		}
	}
}

// TestUnfitFiles has what cannot stand in a text file that people read.
func TestUnfitFiles(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", ":1:1: the file is empty"},
		{"comment only", "# nothing\n", ":1:1: the file is empty"},
		{"byte order mark", "\xef\xbb\xbf" + minimal, ":1:1: the file begins with a byte order mark"},
		{"UTF-16", "\xff\xfev\x00", ":1:1: the file is UTF-16"},
		{"not UTF-8", minimal + "data: /\xc3\x28\n", ":10:8: byte 0xc3 is not UTF-8"},
		{"replacement character", minimal + "x\uFFFD: 1\n", `:10:1: unknown key "x` + "\uFFFD" + `"`},
		{"zero byte", minimal + "data: /\x00\n", ":10:8: the control character U+0000"},
		{"lone carriage return", "version: 1\rsites: {}\n", ":1:11: the control character U+000D"},
		{"hidden direction", "version: 1 \u2028\n", ":1:12: the control character U+2028"},
		{"tab as indent", "version: 1\nsites:\n\ta: {}\n", ":3:1: a tab stands here"},
		{"tab after a colon", "version:\t1\n", ":1:9: a tab stands here"},
		{"two documents", minimal + "---\n" + minimal, ":10:1: the file holds one document only"},
		{"end of document", minimal + "...\n", ":10:1: the file holds one document only"},
		{"directive", "%YAML 1.1\n---\n" + minimal, ":2:1: the file holds one document only"},
		{"only a list", "- version: 1\n", ":1:1: is a list; a mapping with version"},
		{"only a text", "version 1\n", `:1:1: "version 1" is text; a mapping with version`},
		{"too large", minimal + strings.Repeat("# 0123456789\n", MaxSize/13), ":1:1: the file is larger than 4 MiB"},
		{"brackets", strings.Repeat("[", MaxSize), ":1:1: the file holds more than"},
		{"deep brackets", "version: " + strings.Repeat("[", 100000), "values nest deeper than 32"},
		{"deep lists", strings.Repeat("- ", 100000), "values nest deeper than 32"},
		{"deep mappings", deep(200), "values nest deeper than 32"},
		{"alias bomb", bomb, ":2:6: anchors are not read"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, faults := parseText(t, c.text)
			if faults == nil {
				t.Fatal("accepted")
			}
			if !strings.Contains(faults.Error(), c.want) {
				t.Errorf("diagnostics:\n%.500s\nwant %q", faults, c.want)
			}
		})
	}
}

const bomb = `version: 1
lol: &a [x, x, x, x, x, x, x, x, x]
lol2: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]
lol3: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b]
`

func deep(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat(" ", i) + "a:\n")
	}
	return b.String()
}

func TestCommentsMayHoldTabsAndLinesMayEndLikeWindows(t *testing.T) {
	text := strings.ReplaceAll(minimal+"# a\ttab\n", "\n", "\r\n")
	if _, faults := parseText(t, text); faults != nil {
		t.Error(faults)
	}
	text = strings.ReplaceAll(strings.Replace(minimal, "version: 1", "version: 1\t# one", 1), "\n", "\r\n")
	if _, faults := parseText(t, text); faults == nil || !strings.Contains(faults.Error(), ":1:11: a tab") {
		t.Errorf("diagnostics: %v", faults)
	}
	text = strings.ReplaceAll(minimal+"dta: x\n", "\n", "\r\n")
	if _, faults := parseText(t, text); faults == nil || !strings.Contains(faults.Error(), ":10:1: unknown key") {
		t.Errorf("diagnostics: %v", faults)
	}
}

func TestJSONIsAccepted(t *testing.T) {
	if _, faults := parseText(t, `{"version": 1, "sites": {"a": {"provider": "aws", "region": "b"}},
	"services": {"s": {"origins": {"a": {"url": "https://x.example.com"}}}}}`); faults == nil || len(faults.List) != 1 {
		t.Errorf("the tab is the only fault, got: %v", faults)
	}
	if _, faults := parseText(t, `{"version":1,"sites":{"a":{"provider":"aws","region":"b"}},
 "services":{"s":{"origins":{"a":{"url":"https://x.example.com","weight":0}},"spare_reads":false}}}`); faults != nil {
		t.Error(faults)
	}
}

func TestSetIsNotTheSameAsAbsent(t *testing.T) {
	text := strings.Replace(minimal, `"https://a.example.com"}`, `"https://a.example.com", weight: 0}`, 1) +
		"    spare_reads: false\n    writes: one_site\n    failback: auto\n    objective: {rpo: 0s}\n"
	e, faults := parseText(t, text)
	if faults != nil {
		t.Fatal(faults)
	}
	s := e.Services[0]
	if s.Origins[0].Weight != 0 || s.Origins[1].Weight != 1 || s.SpareReads || s.Failback != estate.FailbackAuto || !s.Objective.RPOSet {
		t.Errorf("%+v", s)
	}
}

func TestPathsAreRelativeToTheFile(t *testing.T) {
	e, faults := parseText(t, minimal+"data: state\nlisten: {api: \":7700\", api_tls: {cert: api.crt, key: /k/api.key}}\n")
	if faults != nil {
		t.Fatal(faults)
	}
	got := []string{e.Data, e.Listen.APITLS.Cert, e.Listen.APITLS.Key}
	if diff := cmp.Diff([]string{"etc/state", "etc/api.crt", "/k/api.key"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestLoadTellsMissingFromInvalid(t *testing.T) {
	if _, err := Load(filepath.Join(t.TempDir(), "none.yaml"), Options{}); !errs.Is(err, errs.NotFound) {
		t.Errorf("missing file: %v (%v)", err, errs.KindOf(err))
	}
	path := filepath.Join(t.TempDir(), "large.yaml")
	if err := os.WriteFile(path, make([]byte, 3*MaxSize), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path, Options{}); !errs.Is(err, errs.Invalid) {
		t.Errorf("large file: %v (%v)", err, errs.KindOf(err))
	}
}

func TestErrorIsBoundedAndRenderIsWhole(t *testing.T) {
	_, faults := parseText(t, minimal+strings.Repeat("    zzz: 1\n", 500))
	if n := strings.Count(faults.Error(), "\n") + 1; n != maxPrinted+1 || !strings.HasSuffix(faults.Error(), "and 400 more") {
		t.Errorf("%d lines, ends %q", n, faults.Error()[len(faults.Error())-20:])
	}
	var b bytes.Buffer
	if err := faults.Render(&b); err != nil || strings.Count(b.String(), "zzz: 1") != 500 {
		t.Errorf("render: %v, %d lines of source", err, strings.Count(b.String(), "zzz: 1"))
	}
}

// TestManyFaultsStayCheap judges a file in which every name is wrong: the
// search for near names must not make it quadratic.
func TestManyFaultsStayCheap(t *testing.T) {
	var b strings.Builder
	b.WriteString("version: 1\nsites:\n")
	for i := range 10000 {
		fmt.Fprintf(&b, "  site-%d: {provider: aws, region: r%d}\n", i, i)
	}
	b.WriteString("services:\n")
	for i := range 10000 {
		fmt.Fprintf(&b, "  s%d: {hosts: [h%d], origins: {sitf-%d: {url: \"https://a\"}}}\n", i, i, i)
	}
	_, faults := parseText(t, b.String())
	if faults == nil || len(faults.List) != 10000 {
		t.Fatalf("want 10000 diagnostics, got %v", faults)
	}
	near := 0
	for _, d := range faults.List {
		if d.Nearest != "" {
			near++
		}
	}
	if near == 0 || near > 1000 {
		t.Errorf("%d names were compared with all others", near)
	}
}
