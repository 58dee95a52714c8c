// Package setup writes a first spare.yaml.
//
// [Answers] are what has to be known. [Answers.File] gives the commented file,
// which always passes `spare check`; [Ask] gets the answers from a person, one
// line each, and says at once what is wrong with one, in the words of
// `spare check`.
//
//	a := setup.Answers{Service: "shop", Places: []setup.Place{{Provider: "aws", Region: "us-east-1", URL: "https://..."}}}
//	file, err := a.File()
package setup

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/sparecloud/spare/internal/config"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
)

// Answers say what the file shall declare. Empty fields are the defaults of
// [Answers.Defaults].
type Answers struct {
	Service string
	Host    string  // AnyHost = every host
	Places  []Place // where the service runs; the first serves, the others are spare
	Check   string  // request path
	Listen  string  // address for users' requests
	API     string  // address of the API
	Data    string  // state folder
}

// Place is a site with the service's origin there.
type Place struct{ Provider, Region, URL string }

// AnyHost is the answer that stands for every host name.
const AnyHost = "any"

// Likeness shows how a place is written on the command line.
const Likeness = "aws:us-east-1=https://shop-aws.example.com"

// ParsePlace reads PROVIDER:REGION=URL.
func ParsePlace(s string) (Place, error) {
	where, url, ok := strings.Cut(s, "=")
	provider, region, colon := strings.Cut(where, ":")
	if !ok || !colon || provider == "" || region == "" || url == "" {
		return Place{}, errs.E(errs.Invalid, "%q is not PROVIDER:REGION=URL, such as %s", s, Likeness)
	}
	return Place{provider, region, url}, nil
}

// Defaults fills in what is empty and can have a default.
func (a Answers) Defaults() Answers {
	for _, f := range []struct {
		field    *string
		fallback string
	}{{&a.Host, AnyHost}, {&a.Check, "/healthz"}, {&a.Listen, estate.DefaultHTTP}, {&a.API, estate.DefaultAPI}, {&a.Data, estate.DefaultData}} {
		if *f.field == "" {
			*f.field = f.fallback
		}
	}
	return a
}

// siteIDs names the places: "aws-us-east-1", and a number where that stands
// for two of them.
func (a Answers) siteIDs() []string {
	used := map[string]bool{}
	var ids []string
	for _, p := range a.Places {
		base := label(p.Provider + "-" + p.Region)
		id := base
		for n := 2; used[id]; n++ {
			id = fmt.Sprintf("%s-%d", base[:min(len(base), 58)], n)
		}
		used[id] = true
		ids = append(ids, id)
	}
	return ids
}

// label makes a name of what may not be one.
func label(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return '-'
	}, strings.ToLower(s))
	s = strings.Trim(s[:min(len(s), 60)], "-")
	if s == "" {
		return "site"
	}
	return s
}

// File gives the content of the estate file. Invalid, with what `spare check`
// would say of it: an answer is wrong.
func (a Answers) File() ([]byte, error) {
	for _, s := range a.all() {
		if !utf8.ValidString(s) {
			return nil, errs.E(errs.Invalid, "%q is not text in UTF-8", s)
		}
	}
	file := a.Defaults().text()
	if _, err := config.Parse("spare.yaml", file, config.Options{}); err != nil {
		return nil, invalid(err)
	}
	return file, nil
}

func (a Answers) all() []string {
	list := []string{a.Service, a.Host, a.Check, a.Listen, a.API, a.Data}
	for _, p := range a.Places {
		list = append(list, p.Provider, p.Region, p.URL)
	}
	return list
}

// Warnings gives what is allowed in the file and probably not meant.
func (a Answers) Warnings() []string {
	var list []string
	_, _ = config.Parse("spare.yaml", a.Defaults().text(), config.Options{Warn: func(d config.Diagnostic) { list = append(list, d.Message) }})
	return list
}

// invalid makes one error of the file's faults, without places in a file that
// nobody has seen.
func invalid(err error) error {
	var faults *config.Errors
	if !errors.As(err, &faults) {
		return err
	}
	var said []string
	for _, d := range faults.List[:min(len(faults.List), 10)] {
		said = append(said, d.Message)
	}
	return errs.E(errs.Invalid, "%s", strings.Join(said, "; "))
}
