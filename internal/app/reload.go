package app

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"reflect"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sparecloud/spare/internal/config"
	"github.com/sparecloud/spare/internal/durable"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/journal"
	"github.com/sparecloud/spare/internal/notify"
	"github.com/sparecloud/spare/internal/notify/webhook"
	"github.com/sparecloud/spare/internal/probe"
)

// firstEstate reads the estate file, or the last good copy when the file has
// faults: a restart must not need a file that an editor is half-way through.
// The fault is then given too.
func (c *control) firstEstate(ctx context.Context) (e *estate.Estate, fault string, err error) {
	e, err = c.read(ctx, nil)
	if err == nil {
		return e, "", nil
	}
	copied, cerr := durable.Load(goodCopy(c.opt.DataDir))
	if cerr != nil {
		return nil, "", err
	}
	e, cerr = config.Parse(c.opt.Config, copied.Payload, config.Options{})
	if cerr != nil {
		return nil, "", err
	}
	c.opt.Log.Error("estate file refused, the last good one stays in force", "err", err)
	return e, err.Error(), nil
}

// read reads the estate file and keeps a copy of it if it is good. before is
// the estate in force, or nil.
func (c *control) read(ctx context.Context, before *estate.Estate) (*estate.Estate, error) {
	var seen []byte
	e, err := config.Load(c.opt.Config, config.Options{ReadFile: func(path string) ([]byte, error) {
		b, err := os.ReadFile(path)
		if path == c.opt.Config {
			seen = b
		}
		return b, err
	}})
	if err != nil {
		return nil, err
	}
	if err := c.checkBuckets(ctx, e, before); err != nil {
		return nil, err
	}
	if seen != nil {
		if serr := durable.Save(goodCopy(c.opt.DataDir), seen); serr != nil {
			c.opt.Log.Warn("no copy of the estate file kept", "err", serr)
		}
	}
	return e, nil
}

// adopt puts an estate in force in every part.
func (c *control) adopt(e *estate.Estate) {
	var targets []probe.Target
	var names []estate.Target
	for _, s := range e.Services {
		for _, o := range s.Origins {
			t := estate.Target{Service: s.ID, Site: o.Site}
			names = append(names, t)
			targets = append(targets, probe.Target{Target: t, URL: o.URL, Host: o.Host, Check: s.Check})
		}
	}
	c.mu.Lock()
	if c.panel == nil {
		c.panel = health.NewPanel(names)
	} else {
		c.panel.Watch(names)
	}
	c.loaded = time.Now().UTC()
	c.mu.Unlock()
	c.estate.Store(e)
	c.hook.set(e.Notify.Webhook)
	c.failover.Load(e)
	c.desk.Load(e)
	c.buckets.set(e)
	c.prober.Set(append(targets, c.depends.set(e.Dependencies)...))
}

// watch reloads on SIGHUP and when the file has changed.
func (c *control) watch(ctx context.Context) error {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	changed := make(chan struct{}, 1)
	w := &config.Watcher{Path: c.opt.Config}
	done := make(chan error, 1)
	go func() {
		done <- w.Run(ctx, w.Digest(), func(string) {
			select {
			case changed <- struct{}{}:
			default:
			}
		})
	}()
	if c.fault != "" {
		c.noteRefused("spare", c.fault)
	}
	for {
		select {
		case <-ctx.Done():
			return <-done
		case <-hup:
			_, _ = c.reload(ctx, "signal") // the journal, the log and the status say why
		case <-changed:
			_, _ = c.reload(ctx, "file change")
		}
	}
}

// reload reads the file again and puts it in force if it is good and differs.
// A bad file changes nothing, and says why.
func (c *control) reload(ctx context.Context, actor string) (changed bool, err error) {
	before := c.estate.Load()
	e, err := c.read(ctx, before)
	if err != nil {
		c.noteRefused(actor, err.Error())
		return false, errs.Wrap(errs.Invalid, err, "reload %s", c.opt.Config)
	}
	c.mu.Lock()
	c.fault = ""
	c.mu.Unlock()
	if reflect.DeepEqual(e, before) { // the digest covers the file, not what it refers to
		return false, nil
	}
	if left := needRestart(before, e); len(left) > 0 {
		c.opt.Log.Warn("settings need a restart of spare run", "settings", left)
		c.record.add(journal.Entry{Kind: journal.KindReload, Level: journal.Warn, Actor: actor,
			Message: fmt.Sprintf("%v changed in the estate file: restart spare run to put that in force", left)})
	}
	c.adopt(e)
	c.opt.Log.Info("estate file in force", "digest", e.Digest, "services", len(e.Services))
	data, _ := json.Marshal(map[string]any{"digest": e.Digest, "before": before.Digest})
	c.record.add(journal.Entry{Kind: journal.KindReload, Level: journal.Info, Actor: actor, Data: data,
		Message: fmt.Sprintf("estate file in force, %d services, %d buckets, %d sites", len(e.Services), len(e.Buckets), len(e.Sites))})
	return true, nil
}

func (c *control) noteRefused(actor, why string) {
	c.mu.Lock()
	c.fault = why
	c.mu.Unlock()
	c.opt.Log.Error("estate file refused, the one before stays in force", "err", why)
	c.record.add(journal.Entry{Kind: journal.KindReload, Level: journal.Error, Actor: actor,
		Message: "estate file refused, the one before stays in force: " + why})
}

// needRestart names what a reload cannot change.
func needRestart(a, b *estate.Estate) []string {
	var left []string
	if a.Listen.HTTP != b.Listen.HTTP {
		left = append(left, "listen.http")
	}
	if a.Listen.API != b.Listen.API {
		left = append(left, "listen.api")
	}
	if len(a.Buckets) > 0 != (len(b.Buckets) > 0) || len(a.Buckets) > 0 && a.Listen.S3 != b.Listen.S3 {
		left = append(left, "listen.s3")
	}
	if a.Data != b.Data {
		left = append(left, "data")
	}
	slices.Sort(left)
	return left
}

// hook sends notices to the webhook of the estate in force.
type hook struct {
	log *slog.Logger
	to  atomic.Pointer[webhook.Webhook]
}

func (h *hook) set(w *estate.Webhook) {
	if w == nil {
		h.to.Store(nil)
		return
	}
	made, err := webhook.New(webhook.Options{URL: w.URL, Secret: w.Secret, AllowPrivate: w.AllowPrivate, Log: h.log})
	if err != nil {
		h.log.Error("webhook not usable", "err", err)
		return
	}
	h.to.Store(made)
}

// Send delivers one notice; with no webhook declared there is nobody to tell.
func (h *hook) Send(ctx context.Context, n notify.Notice) error {
	if w := h.to.Load(); w != nil {
		return w.Send(ctx, n)
	}
	return nil
}

// tell puts a notice into the outbox, when somebody is to be told.
func (c *control) tell(ctx context.Context, n notify.Notice) error {
	if c.hook.to.Load() == nil {
		return nil
	}
	return c.outbox.Add(ctx, n)
}

// serverTLS loads the API's certificate; nil pair gives nil.
func serverTLS(pair *estate.KeyPair) (*tls.Config, error) {
	if pair == nil {
		return nil, nil
	}
	cert, err := tls.LoadX509KeyPair(pair.Cert, pair.Key)
	if err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "load listen.api_tls")
	}
	return &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
}
