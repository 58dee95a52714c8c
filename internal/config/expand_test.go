package config

import (
	"bytes"
	"strings"
	"testing"
)

func TestReferences(t *testing.T) {
	for _, c := range []struct{ secret, want string }{
		{"${env:SPARE_WEBHOOK_SECRET}", secretValue},
		{`"${env:SPARE_WEBHOOK_SECRET}"`, secretValue},
		{"${file:token}", secretValue}, // relative to the file, without the line end
		{"${file:/abs/token}", secretValue},
	} {
		e, faults := parseText(t, minimal+"notify: \n  webhook: \n    url: https://x.example.com\n    secret: "+c.secret+"\n")
		if faults != nil || e.Notify.Webhook.Secret != c.want {
			t.Errorf("%s: %v, %v", c.secret, e, faults)
		}
	}
}

func TestReferencesStandInAnyText(t *testing.T) {
	text := minimal + `    policy: ${env:PRIMARY}
    check:
      timeout: ${env:WAIT}
      http: {contains: "a$${b}${env:PRIMARY}-${env:PRIMARY}$$"}
    limits: {hedge: {delay: "${env:WAIT}"}}
`
	e, faults := parseText(t, text)
	if faults != nil {
		t.Fatal(faults)
	}
	s := e.Services[0]
	if s.Policy != "primary" || s.Check.Timeout.String() != "250ms" || s.Limits.Hedge.Delay.String() != "250ms" {
		t.Errorf("%+v", s)
	}
	if got, want := s.Check.Contains, "a${b}primary-primary$$"; got != want {
		t.Errorf("contains %q, want %q", got, want)
	}
}

// TestNoDiagnosticShowsAReferencedValue puts secrets where each kind of fault
// can be found in them.
func TestNoDiagnosticShowsAReferencedValue(t *testing.T) {
	s := "${env:SPARE_WEBHOOK_SECRET}"
	text := `version: "` + s + `"
data: ` + s + `
sites:
  virginia: {provider: "` + s + `", region: "` + s + `", zone: "${file:token}"}
services:
  shop:
    hosts: ["` + s + `", "` + s + `"]
    paths: ["/` + s + `", "/` + s + `"]
    policy: ` + s + `
    origins:
      virginia: {url: "${env:BAD_URL}", host: "` + s + `/", weight: "` + s + `"}
      ` + s + `: {url: "https://` + s + `:x@h/"}
    check: {every: "` + s + `", http: {path: "/ ` + s + `"}}
    needs: ["` + s + `"]
    objective: {rto: "` + s + `"}
    limits: {body: "` + s + `"}
  copy:
    hosts: ["` + s + `"]
    origins: {virginia: {url: "https://h#` + s + `"}}
listen: {http: "` + s + `", api: "` + s + `:1"}
notify: {webhook: {url: "` + s + `"}}
`
	_, faults := parseText(t, text)
	if faults == nil || len(faults.List) < 18 {
		t.Fatalf("too few faults: %v", faults)
	}
	var b bytes.Buffer
	if err := faults.Render(&b); err != nil {
		t.Fatal(err)
	}
	if low := strings.ToLower(b.String()); strings.Contains(low, strings.ToLower(secretValue)) {
		t.Errorf("a secret is printed:\n%s", b.String())
	}
	if !strings.Contains(b.String(), s) {
		t.Error("the reference is not shown in its place")
	}
}

func TestNearNamesDoNotHintAtAReferencedValue(t *testing.T) {
	_, faults := parseText(t, minimal+"    policy: ${env:NEARLY}\n    needs: [\"${env:NEARLY}\"]\n  primary: {origins: {virginia: {url: \"https://a\"}}, hosts: [a]}\n")
	if faults == nil || len(faults.List) != 2 {
		t.Fatalf("want two diagnostics, got %v", faults)
	}
	for _, d := range faults.List {
		if d.Nearest != "" {
			t.Errorf("%s", d)
		}
	}
}

func TestLiteralSecretIsRefusedAndNotPrinted(t *testing.T) {
	for _, literal := range []string{"hunter2", `"hunter2"`, "'hunter2'", "hunter2${env:PRIMARY}", "|\n      hunter2\n      hunter2", `"\x68unter2"`} {
		text := minimal + "notify:\n  webhook:\n    url: ftp\n    secret: " + literal + "\n"
		_, faults := parseText(t, text)
		if faults == nil {
			t.Fatalf("%s: accepted", literal)
		}
		var b bytes.Buffer
		if err := faults.Render(&b); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(b.String(), "unter2") || !strings.Contains(b.String(), "is a secret") {
			t.Errorf("%s:\n%s", literal, b.String())
		}
	}
}

func TestBadReferences(t *testing.T) {
	for _, c := range []struct{ data, want string }{
		{"${env:NOPE}", "refers to the environment variable NOPE, which is not set"},
		{"${env:EMPTY}", "refers to EMPTY, which is empty"},
		{"${env:A-B}", `refers to "A-B", which is no name`},
		{"${file:nope}", "refers to the file nope, which cannot be read (not_found)"},
		{"${file:binary}", "refers to binary, which is not UTF-8"},
		{"${file:}", "refers to a file without a path"},
		{"${vault:x}", `holds "${vault:x}", which is neither`},
		{"${evn:X}", `did you mean "${env:X}"`},
		{"${HOME}", `holds "${HOME}", which is neither`},
		{"${env:X", `holds "${" without "}"`},
	} {
		_, faults := parseText(t, minimal+"data: '"+c.data+"'\n")
		if faults == nil || len(faults.List) != 1 || !strings.Contains(faults.Error(), c.want) || faults.List[0].Line != 10 {
			t.Errorf("%s: %v, want %q", c.data, faults, c.want)
		}
	}
}
