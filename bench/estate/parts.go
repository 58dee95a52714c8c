package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"slices"
	"time"

	"github.com/sparecloud/spare/internal/config"
	"github.com/sparecloud/spare/internal/edge"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/route"
)

// parts measures reading, putting in force, and finding.
func (b *bench) parts(ctx context.Context, file string, f *figures) error {
	info, err := os.Stat(file)
	if err != nil {
		return err
	}
	f.Values["file KiB"] = float64(info.Size()) / 1024
	var e *estate.Estate
	load, err := median(5, func() (err error) {
		e, err = config.Load(file, config.Options{})
		return err
	})
	if err != nil {
		return err
	}
	f.Values["load and validate ms"] = load.Seconds() * 1e3

	t := table(e)
	var ed *edge.Edge
	first, err := median(5, func() error {
		if ed != nil {
			_ = ed.Close()
		}
		ed = edge.New(edge.Options{Log: slog.New(slog.DiscardHandler)})
		return ed.Apply(t)
	})
	if err != nil {
		return err
	}
	defer func() { _ = ed.Close() }()
	again, err := median(5, func() error {
		next := *t
		next.Epoch++
		t = &next
		return ed.Apply(t)
	})
	if err != nil {
		return err
	}
	f.Values["first table ms"], f.Values["next table ms"] = first.Seconds()*1e3, again.Seconds()*1e3
	find, err := find(ctx, ed, f.Services)
	f.Values["request to its service us"] = find.Seconds() * 1e6
	return err
}

// table is what the control plane would publish, but that every origin is
// drained: a request is then answered as soon as its service is found.
func table(e *estate.Estate) *route.Table {
	t := &route.Table{Epoch: 1, Estate: e.Digest}
	for _, s := range e.Services {
		r := route.Service{ID: s.ID, Hosts: s.Hosts, Paths: s.Paths, Policy: s.Policy, Writes: s.Writes, SpareReads: s.SpareReads}
		for _, o := range s.Origins {
			r.Origins = append(r.Origins, route.Origin{Site: o.Site, URL: o.URL, Weight: o.Weight, State: route.Drained})
		}
		t.Services = append(t.Services, r)
	}
	return t
}

// find gives the median time of a whole request, over a kept loopback
// connection, that is answered without an origin. It is more than the look-up;
// what grows with the table is the look-up alone.
func find(ctx context.Context, ed *edge.Edge, n int) (time.Duration, error) {
	ctx, stop := context.WithCancel(ctx)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		stop()
		return 0, err
	}
	served := make(chan struct{})
	go func() {
		_ = ed.Serve(ctx, ln) // a fault shows in the requests
		close(served)
	}()
	defer func() { stop(); <-served }()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		return 0, err
	}
	defer func() { _ = c.Close() }()
	r := bufio.NewReader(c)
	rnd := rand.New(rand.NewPCG(1, uint64(n))) // hosts in no order, so that caches do not flatter
	took := make([]time.Duration, 20000)
	for i := range took {
		req := "GET /a/path HTTP/1.1\r\nHost: " + host(rnd.IntN(n)) + "\r\n\r\n"
		began := time.Now()
		if _, err := io.WriteString(c, req); err != nil {
			return 0, err
		}
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return 0, err
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode == http.StatusNotFound || resp.StatusCode == http.StatusOK {
			return 0, fmt.Errorf("a drained service answers %d", resp.StatusCode)
		}
		took[i] = time.Since(began)
	}
	slices.Sort(took)
	return took[len(took)/2], nil
}

// median gives the middle of some runs.
func median(runs int, do func() error) (time.Duration, error) {
	var took []time.Duration
	for range runs {
		began := time.Now()
		if err := do(); err != nil {
			return 0, err
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[runs/2], nil
}
