package cli_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sparecloud/spare/internal/api"
	"github.com/sparecloud/spare/internal/api/apitest"
	"github.com/sparecloud/spare/internal/app"
	"github.com/sparecloud/spare/internal/cli"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/journal"
)

var update = flag.Bool("update", false, "write the scripts' expected output anew")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"spare": func() { os.Exit(cli.Main(program())) }})
}

// program stands in for the server: it says how it was called.
func program() cli.Options {
	show := func(what string, o cli.RunOptions) error {
		fmt.Printf("%s %s version %s log %s %s\n", what, filepath.Base(o.Config), o.Version, o.LogLevel, o.LogFormat)
		o.Log.Info("it logs")
		if os.Getenv("BREAK") != "" {
			return errors.New("it broke")
		}
		return nil
	}
	return cli.Options{
		Version: "1.2.3",
		Run:     func(_ context.Context, o cli.RunOptions) error { return show("run", o) },
		Process: func(_ context.Context, role string, o cli.RunOptions) error { return show("process "+role, o) },
		Connect: app.Connect,
		ServeFolder: func(ctx context.Context, o cli.FolderOptions) error {
			return app.ServeFolder(ctx, app.FolderOptions(o))
		},
	}
}

// Each script has an API of its own, over the shop of apitest: $API is its
// address, spare.yaml names it, and data/token holds its token.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"code":   code,
			"fail":   fail,
			"append": appendEntry,
			"acted":  acted,
		},
	})
}

type backendKey struct{}

func setup(env *testscript.Env) error {
	b := apitest.New()
	data := filepath.Join(env.WorkDir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	token, err := api.EnsureToken(data)
	if err != nil {
		return err
	}
	ts := httptest.NewServer(api.New(api.Options{
		Backend: b, Token: func() string { return token }, Log: slog.New(slog.DiscardHandler),
		Listen: "127.0.0.1:0", OpenReads: true,
	}))
	env.Defer(ts.Close)
	env.Values[backendKey{}] = b
	addr := strings.TrimPrefix(ts.URL, "http://")
	env.Setenv("API", ts.URL)
	return os.WriteFile(filepath.Join(env.WorkDir, "spare.yaml"), fmt.Appendf(nil, estateFile, addr), 0o600)
}

const estateFile = `version: 1
data: data
listen: {http: "127.0.0.1:8080", api: %q}
sites:
  virginia: {provider: aws, region: us-east-1}
  belgium: {provider: gcp, region: europe-west1}
services:
  shop:
    hosts: [shop.example.com]
    policy: primary
    origins:
      virginia: {url: "https://shop-a.example.com"}
      belgium: {url: "https://shop-b.example.com"}
  blog:
    hosts: [blog.example.com]
    policy: balance
    origins:
      belgium: {url: "http://10.0.0.7:8080"}
notify:
  webhook: {url: "https://hooks.example.com/spare", secret: "${env:SPARE_TEST_SECRET}"}
`

func backend(ts *testscript.TestScript) *apitest.Backend {
	return ts.Value(backendKey{}).(*apitest.Backend)
}

// code runs a command and demands its exit code: code 4 spare status.
func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code CODE COMMAND...")
	}
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit interface{ ExitCode() int }
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if fmt.Sprint(got) != args[0] {
		ts.Fatalf("exit code %d, want %s", got, args[0])
	}
}

// fail makes the API answer with an error of a kind, or of unknown effect, or
// again as usual: fail none.
func fail(ts *testscript.TestScript, _ bool, args []string) {
	switch args[0] {
	case "none":
		backend(ts).Fail(nil)
	case "maybe":
		backend(ts).Fail(errs.MaybeApplied(errs.E(errs.Unavailable, "the store went away")))
	default:
		backend(ts).Fail(errs.WithHint(errs.E(errs.ParseKind(args[0]), "the reason"), "the remedy"))
	}
}

// append writes a journal entry: append MESSAGE.
func appendEntry(ts *testscript.TestScript, _ bool, args []string) {
	backend(ts).Append(journal.Entry{At: apitest.Noon, Kind: journal.KindTable, Level: journal.Info,
		Certainty: journal.Observed, Actor: "spare", Message: args[0]})
}

// acted demands how many actions were done: acted 1.
func acted(ts *testscript.TestScript, _ bool, args []string) {
	list := backend(ts).Actions()
	if fmt.Sprint(len(list)) != args[0] {
		ts.Fatalf("%d actions, want %s: %+v", len(list), args[0], list)
	}
	for _, a := range list {
		if !strings.HasPrefix(a.Actor, "token:") {
			ts.Fatalf("actor %q is not the system's user", a.Actor)
		}
	}
}
