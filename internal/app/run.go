package app

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/sparecloud/spare/internal/config"
	"github.com/sparecloud/spare/internal/durable"
	"github.com/sparecloud/spare/internal/edge"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/objects"
)

// Options are what the command line says to [Run] and [Process].
type Options struct {
	Config  string // path of the estate file
	Version string // of the program, for people
	Log     *slog.Logger
	Args    []string // further arguments of the processes that are started
}

// Run is `spare run`: it reads the estate file once, for the addresses and the
// state folder, and supervises the two processes that do the work. Invalid:
// the file has faults; the error lists them.
func Run(ctx context.Context, o Options) error {
	e, err := config.Load(o.Config, config.Options{Warn: func(d config.Diagnostic) {
		o.Log.Warn("estate file", "warning", d.String())
	}})
	if last := lastGood(err, o.Config); last != nil {
		o.Log.Error("estate file refused, starting with the last good one", "err", err)
		e, err = last, nil
	}
	if err != nil {
		return err
	}
	path, err := binaryPath()
	if err != nil {
		return err
	}
	listen := []string{e.Listen.HTTP}
	if len(e.Buckets) > 0 {
		listen = append(listen, e.Listen.S3)
	}
	return Supervise(ctx, SuperviseOptions{
		ConfigPath: o.Config, DataDir: e.Data, Listen: listen, Log: o.Log, Stderr: os.Stderr,
		Command: func(role string) *exec.Cmd {
			args := append([]string{"process", role, "-c", o.Config}, o.Args...)
			cmd := exec.Command(path, args...)
			cmd.Env = append(os.Environ(), dataDirVariable+"="+e.Data, s3Variable+"="+e.Listen.S3)
			return cmd
		},
	})
}

// lastGood gives the estate of the last good copy when the file has faults: a
// machine that starts again while somebody edits the file must serve. nil when
// there is none; a first start with a bad file is refused.
func lastGood(err error, path string) *estate.Estate {
	var faults *config.Errors
	if !errors.As(err, &faults) || faults.Partial == nil {
		return nil
	}
	copied, err := durable.Load(goodCopy(faults.Partial.Data))
	if err != nil {
		return nil
	}
	e, err := config.Parse(path, copied.Payload, config.Options{})
	if err != nil || e.Data != faults.Partial.Data {
		return nil
	}
	return e
}

// dataDirVariable tells a child the state folder, so that it starts although
// the estate file has become unreadable since.
const dataDirVariable = "SPARE_DATA"

// Process is one of the processes that [Run] starts.
func Process(ctx context.Context, role string, o Options) error {
	in, err := Inherit()
	if err != nil {
		return err
	}
	dir := os.Getenv(dataDirVariable)
	if dir == "" {
		return errs.E(errs.Invalid, "%s is not set: this process was not started by spare run", dataDirVariable)
	}
	log := o.Log.With("process", role)
	switch role {
	case RoleData:
		return Data(ctx, DataOptions{
			Log: log, DataDir: dir, Config: o.Config, Binary: o.Version, Inherited: in,
			Objects: objects.New(objects.Options{Log: log, Connect: Connect(log)}), S3: os.Getenv(s3Variable),
			NewEdge: func(report func(health.Event)) Edge { return edge.New(edge.Options{Log: log, Report: report}) },
		})
	case RoleControl:
		return Control(ctx, ControlOptions{Log: log, DataDir: dir, Config: o.Config, Version: o.Version, Inherited: in})
	}
	return errs.E(errs.Invalid, "there is no process %q: it is data or control", role)
}

// goodCopy is where the last good estate file rests in the state folder. A
// control process that finds the file itself at fault starts from the copy.
func goodCopy(dir string) string { return filepath.Join(dir, "estate.yaml") }
