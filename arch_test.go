package spare_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/sparecloud/spare/"

// floors lists every package with the packages of this module that it may
// import, bottom up. A new arrow is a new word here; a package may only stand
// on packages above it in this list.
var floors = []struct{ pkg, may string }{
	// leaves
	{"internal/errs", ""},
	{"internal/run", ""},
	{"internal/sqlitedb/crashtest", ""},
	{"internal/durable", "errs"},
	{"internal/sqlitedb", "errs"},
	// words: pure
	{"internal/estate", ""},
	{"internal/health", "estate"},
	{"internal/route", "errs estate"},
	// input
	{"internal/config", "errs estate"},
	{"internal/probe", "errs estate health"},
	// data path
	{"internal/edge/guard", ""},
	{"internal/edge/upstream", "health"},
	{"internal/edge", "edge/guard edge/upstream errs estate health route"},
	{"internal/blob", "errs"},
	{"internal/blob/drivertest", "blob errs"},
	{"internal/blob/memblob", "blob errs"},
	{"internal/blob/faultblob", "blob errs"},
	{"internal/blob/fileblob", "blob errs run"},
	{"internal/blob/s3blob", "blob errs"},
	{"internal/blob/s3blob/peer", "blob/s3blob errs"},
	{"internal/blob/qualify", "blob errs run"},
	{"internal/blob/replica", "blob errs run"},
	{"internal/s3api/s3err", "blob errs"},
	{"internal/s3api/offer", "s3api/s3err"},
	{"internal/s3api/precond", "blob s3api/s3err"},
	{"internal/s3api/s3xml", "blob s3api/s3err"},
	{"internal/s3api/checksum", "blob errs s3api/s3err"},
	{"internal/s3api/chunked", "blob errs s3api/s3err"},
	{"internal/s3api/sigv4", "s3api/s3err"},
	{"internal/s3api/sigv2", "s3api/s3err s3api/sigv4"},
	{"internal/s3api/target", "blob s3api/offer s3api/s3err s3api/sigv4"},
	{"internal/s3api/payload", "blob s3api/checksum s3api/chunked s3api/s3err s3api/sigv4"},
	{"internal/s3api/entity", "blob s3api/checksum s3api/s3err"},
	{"internal/s3api/listing", "blob s3api/entity s3api/s3err s3api/s3xml"},
	{"internal/s3api", "blob errs s3api/checksum s3api/entity s3api/listing s3api/offer s3api/payload s3api/precond s3api/s3err s3api/s3xml s3api/sigv2 s3api/sigv4 s3api/target"},
	{"internal/objects", "blob/replica errs estate health run s3api"},
	// between the two processes
	{"internal/link", "errs health route run"},
	// control plane
	{"internal/state", "errs"},
	{"internal/state/statetest", "errs state"},
	{"internal/state/memstate", "errs state"},
	{"internal/state/sqlitestate", "errs sqlitedb state"},
	{"internal/journal", "errs estate sqlitedb"},
	{"internal/notify", "errs journal run state"},
	{"internal/notify/webhook", "errs notify"},
	{"internal/failover", "errs estate health journal route run state"},
	{"internal/incident", "errs estate health journal notify state"},
	{"internal/metrics", "health"},
	// surfaces
	{"internal/apiv1", "errs"},
	{"internal/report", "apiv1"},
	{"internal/setup", "config errs estate"},
	{"internal/api", "apiv1 errs estate journal report"},
	{"internal/api/apitest", "api apiv1 errs estate journal report"},
	{"internal/web/history", "apiv1"},
	{"internal/web/session", ""},
	{"internal/web", "api apiv1 errs estate journal report web/history web/session"},
	{"internal/app", "api apiv1 blob blob/fileblob blob/replica blob/s3blob config durable edge errs estate failover health incident journal link metrics notify notify/webhook objects probe report route run s3api state/sqlitestate web"},
	{"internal/demo/group", "errs"},
	{"internal/demo/wire", "errs"},
	{"internal/demo/load", "demo/wire errs"},
	{"internal/demo/objectload", "apiv1 demo/load demo/wire errs"},
	{"internal/demo/shop", "errs"},
	{"internal/demo/depot", "blob blob/fileblob errs objects s3api"},
	{"internal/demo/proof", "apiv1 demo/load demo/objectload demo/shop"},
	{"internal/demo/screen", "demo/load demo/objectload demo/proof"},
	{"internal/demo", "apiv1 demo/depot demo/group demo/load demo/objectload demo/proof demo/screen demo/shop errs"},
	{"internal/cli", "api apiv1 blob blob/qualify blob/replica config demo demo/screen durable errs estate journal objects report setup"},
	{"cmd/spare", "app cli"},
}

// homes names the one package that may import a third-party module outside of
// tests. A module that is missing here has no home and may not be used.
var homes = map[string]string{
	"github.com/goccy/go-yaml":            "internal/config",
	"modernc.org/sqlite":                  "internal/sqlitedb",
	"github.com/prometheus/client_golang": "internal/metrics",
	"github.com/spf13/cobra":              "internal/cli",
	"github.com/spf13/pflag":              "internal/cli",
	"github.com/google/go-cmp":            "internal/state/statetest",
	"github.com/aws/aws-sdk-go-v2":        "internal/blob/s3blob",
	"github.com/aws/smithy-go":            "internal/blob/s3blob",
}

// pure packages do no I/O; dataPath serves with the control plane dead.
var (
	pure         = []string{"internal/estate", "internal/health", "internal/route"}
	impure       = []string{"net", "net/http", "os", "os/exec", "syscall", "io/fs"}
	dataPath     = []string{"internal/edge", "internal/edge/guard", "internal/edge/upstream", "internal/route", "internal/blob", "internal/blob/replica", "internal/s3api", "internal/objects"}
	controlPlane = []string{"internal/state", "internal/failover", "internal/incident", "internal/journal", "internal/notify", "internal/api", "internal/app", "internal/link"}
)

// source is what a package's files say of themselves.
type source struct {
	imports map[string]bool
	docs    []string // package comments
}

// sources reads every package of the module, without test files.
func sources(t *testing.T) map[string]source {
	t.Helper()
	all := map[string]source{}
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			if d != nil && d.IsDir() && (d.Name() == "testdata" || d.Name() == "node_modules" || d.Name() == "bin" || strings.HasPrefix(d.Name(), ".") && file != ".") {
				return filepath.SkipDir
			}
			return err
		}
		if !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(file))
		s, ok := all[dir]
		if !ok {
			s.imports = map[string]bool{}
		}
		for _, i := range f.Imports {
			name, err := strconv.Unquote(i.Path.Value)
			if err != nil {
				return err
			}
			s.imports[name] = true
		}
		if f.Doc != nil {
			s.docs = append(s.docs, f.Doc.Text())
		}
		all[dir] = s
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestEveryArrowIsDeclared(t *testing.T) {
	may := map[string]map[string]bool{}
	seen := map[string]bool{}
	for _, f := range floors {
		may[f.pkg] = map[string]bool{}
		for _, to := range strings.Fields(f.may) {
			if !seen["internal/"+to] {
				t.Errorf("%s may import %s, which does not stand below it", f.pkg, to)
			}
			may[f.pkg]["internal/"+to] = true
		}
		seen[f.pkg] = true
	}
	all := sources(t)
	for _, dir := range slices.Sorted(maps.Keys(all)) {
		if dir == "." || strings.HasPrefix(dir, "bench/") || strings.HasPrefix(dir, "tests/") {
			continue // the tour; measurements and outside checks import what they measure
		}
		if may[dir] == nil {
			t.Errorf("package %s has no floor: give it a line in arch_test.go", dir)
			continue
		}
		for name := range all[dir].imports {
			if to, ok := strings.CutPrefix(name, module); ok && !may[dir][to] {
				t.Errorf("%s imports %s, which is not declared", dir, to)
			}
		}
	}
	for _, f := range floors {
		s, ok := all[f.pkg]
		if !ok {
			t.Errorf("floor %s has no package", f.pkg)
		}
		for to := range may[f.pkg] {
			if ok && !s.imports[module+to] {
				t.Errorf("%s may import %s and does not: strike the word", f.pkg, to)
			}
		}
	}
}

func TestEveryModuleHasOneHome(t *testing.T) {
	for dir, s := range sources(t) {
		for name := range s.imports {
			first, _, _ := strings.Cut(name, "/")
			if !strings.Contains(first, ".") || strings.HasPrefix(name, module) || strings.HasPrefix(dir, "bench/") {
				continue
			}
			home := ""
			for m, h := range homes {
				if name == m || strings.HasPrefix(name, m+"/") {
					home = h
				}
			}
			if home != dir {
				t.Errorf("%s imports %s, whose home is %q", dir, name, home)
			}
		}
	}
}

func TestPurePackagesDoNoIO(t *testing.T) {
	all := sources(t)
	for _, dir := range pure {
		for _, name := range impure {
			if all[dir].imports[name] {
				t.Errorf("%s is pure and imports %s", dir, name)
			}
		}
	}
}

// TestDataPathStandsAlone follows imports to their end: nothing that serves a
// request may reach the control plane, however many steps away.
func TestDataPathStandsAlone(t *testing.T) {
	all := sources(t)
	for _, from := range dataPath {
		reached := map[string]bool{}
		var walk func(dir string)
		walk = func(dir string) {
			if reached[dir] {
				return
			}
			reached[dir] = true
			for name := range all[dir].imports {
				if to, ok := strings.CutPrefix(name, module); ok {
					walk(to)
				}
			}
		}
		walk(from)
		for _, c := range controlPlane {
			for dir := range reached {
				if dir == c || strings.HasPrefix(dir, c+"/") {
					t.Errorf("%s reaches %s: the data path must serve with the control plane dead", from, dir)
				}
			}
		}
	}
}

func TestEveryPackageHasOneComment(t *testing.T) {
	for dir, s := range sources(t) {
		if len(s.docs) != 1 {
			t.Errorf("package %s has %d package comments, want one", dir, len(s.docs))
			continue
		}
		if want := "Package " + path.Base(dir); dir != "." && !strings.HasPrefix(dir, "cmd/") && !strings.HasPrefix(s.docs[0], want) && !strings.HasPrefix(s.docs[0], "Command ") {
			t.Errorf("package %s: its comment does not begin with %q", dir, want)
		}
	}
}
