package app_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/app"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/link"
	"github.com/sparecloud/spare/internal/route"
)

// The test binary plays all processes:
//
//	app.test supervise DIR ADDRESS...
//	app.test process data|control -c DIR
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "supervise" {
		exit(superviseRole(os.Args[2], os.Args[3:]))
	}
	if len(os.Args) == 5 && os.Args[1] == "process" {
		roles := map[string]func(string) error{app.RoleData: dataRole, app.RoleControl: controlRole}
		exit(roles[os.Args[2]](os.Args[4]))
	}
	os.Exit(m.Run())
}

func exit(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "failed: kind=%s err=%q\n", errs.KindOf(err), err)
		os.Exit(1)
	}
	os.Exit(0)
}

func roleLog(role string) *slog.Logger {
	return slog.New(slog.NewTextHandler(os.Stderr, nil)).With("in", role)
}

// seconds reads a bound that a test has set for its processes.
func seconds(name string) time.Duration {
	n, _ := strconv.ParseFloat(os.Getenv(name), 64)
	return time.Duration(n * float64(time.Second))
}

func superviseRole(dir string, addrs []string) error {
	return app.Supervise(context.Background(), app.SuperviseOptions{
		ConfigPath: dir, DataDir: dir, Listen: addrs,
		Command: func(role string) *exec.Cmd {
			// A link, so that a test can change what is on disk.
			return exec.Command(filepath.Join(dir, "spare"), "process", role, "-c", dir)
		},
		Log: roleLog("supervisor"), Stderr: os.Stderr,
		ReadyTimeout: seconds("TEST_READY"), AdoptTimeout: seconds("TEST_ADOPT"),
	})
}

func dataRole(dir string) error {
	in, err := app.Inherit()
	if err != nil {
		return err
	}
	return app.Data(context.Background(), app.DataOptions{
		Log: roleLog("data"), DataDir: dir, Inherited: in, OrphanTimeout: seconds("TEST_ORPHAN"),
		NewEdge: func(func(health.Event)) app.Edge {
			e := newDummyEdge()
			e.delay = seconds("TEST_DELAY")
			return e
		},
	})
}

// controlRole publishes table 7, notes its process ID and the reloads asked of
// it in files, and ends with its supervisor.
func controlRole(dir string) error {
	in, err := app.Inherit()
	if err != nil {
		return err
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		for {
			select {
			case <-hup:
				note(dir, "reloads", "reload")
			case <-in.SupervisorGone:
				os.Exit(3)
			}
		}
	}()
	note(dir, "controls", strconv.Itoa(os.Getpid()))
	if os.Getenv("TEST_CONTROL") == "mute" {
		<-ctx.Done()
		return nil
	}
	hub, err := link.Listen(filepath.Join(dir, "control.sock"), link.HubOptions{
		Log: roleLog("control"),
		OnEvents: func(_ context.Context, _ string, events []health.Event) error {
			for _, e := range events {
				note(dir, "events", string(e.Kind))
			}
			return nil
		},
	})
	if err != nil {
		return err
	}
	hub.Publish(testTable(7))
	return errors.Join(in.Ready(), hub.Run(ctx))
}

// testTable is a sound table.
func testTable(epoch uint64) *route.Table {
	return &route.Table{Epoch: epoch, Services: []route.Service{{
		ID: "shop", Policy: estate.Primary,
		Origins: []route.Origin{{Site: "virginia", URL: "http://127.0.0.1:1"}},
	}}}
}

// note adds a line to a file in dir.
func note(dir, name, line string) {
	f, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err == nil {
		_, err = fmt.Fprintln(f, line)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		panic(err)
	}
}

// notes gives the lines of a file in dir.
func notes(dir, name string) []string {
	b, _ := os.ReadFile(filepath.Join(dir, name))
	return strings.Fields(string(b))
}
