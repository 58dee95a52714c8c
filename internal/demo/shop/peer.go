package shop

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/errs"
)

const (
	pullEvery = 250 * time.Millisecond
	pullTime  = time.Second
	askTime   = 2 * time.Second
)

// Stats is what a cloud counts, as its inside shows under /stats. A frozen or
// dead cloud shows nothing.
type Stats struct {
	Name   string `json:"name"`
	Served uint64 `json:"served"` // requests at the front but for health checks, since the process began
	Orders int    `json:"orders"`
	Ready  bool   `json:"ready"`
}

// inside serves the other clouds.
func (c *cloud) inside() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, Stats{Name: c.Name, Served: c.served.Load(), Orders: c.orders.Len(), Ready: c.ready.Load()})
	})
	mux.HandleFunc("GET /log", func(w http.ResponseWriter, r *http.Request) {
		after, _ := strconv.ParseInt(r.URL.Query().Get("after"), 10, 64)
		b, err := c.orders.After(after)
		if err != nil {
			http.Error(w, err.Error(), errs.HTTPStatus(err))
			return
		}
		_, _ = w.Write(b)
	})
	mux.HandleFunc("GET /orders/{id}", func(w http.ResponseWriter, r *http.Request) {
		if o, ok := c.orders.Order(r.PathValue("id")); ok {
			writeJSON(w, http.StatusOK, o)
			return
		}
		http.Error(w, "no such order", http.StatusNotFound)
	})
	mux.HandleFunc("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		var o Order
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<10)).Decode(&o)
		if err == nil {
			err = c.orders.Append(Record{Order: o, Via: ViaPeer})
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	return mux
}

// follow pulls the peers' logs for as long as ctx lasts. The cloud is ready
// when each peer has been asked once: a peer that does not answer cannot be
// waited for, and what it acknowledged is at another cloud too.
func (c *cloud) follow(ctx context.Context) {
	var first, all sync.WaitGroup
	for _, p := range c.peers {
		first.Add(1)
		all.Go(func() {
			c.pull(ctx, p)
			first.Done()
			for tick := time.NewTicker(pullEvery); ; {
				select {
				case <-tick.C:
					c.pull(ctx, p)
				case <-ctx.Done():
					tick.Stop()
					return
				}
			}
		})
	}
	first.Wait()
	c.ready.Store(true)
	all.Wait()
}

func (c *cloud) pull(ctx context.Context, p *peer) {
	b, err := p.after(ctx, p.offset)
	if errs.Is(err, errs.Invalid) { // its log is not the one that we knew
		p.offset = 0
		return
	}
	if err != nil || len(b) == 0 {
		return
	}
	recs, size, err := parse(b, p.name)
	for i := range recs {
		recs[i].Via = ViaPeer
	}
	if err == nil {
		err = c.orders.Append(recs...)
	}
	if err != nil {
		c.Log.Warn("orders not taken over", "peer", p.name, "err", err)
		return
	}
	p.offset += size
}

// ask looks for the order at the peers. An error means that one of them could
// not say, and none has it.
func (c *cloud) ask(ctx context.Context, id string) (Order, bool, error) {
	type answer struct {
		o   Order
		err error
	}
	answers := make(chan answer, len(c.peers))
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	for _, p := range c.peers {
		go func() {
			o, err := p.order(ctx, id)
			answers <- answer{o, err}
		}()
	}
	var unknown error
	for range c.peers {
		a := <-answers
		if a.err == nil {
			return a.o, true, nil
		}
		if !errs.Is(a.err, errs.NotFound) {
			unknown = a.err
		}
	}
	return Order{}, false, unknown
}

// peer is another cloud, as this one sees it.
type peer struct {
	name   string
	base   string
	http   *http.Client
	offset int64 // how much of its log is taken over
}

func newPeer(name, addr string) *peer {
	return &peer{name: name, base: "http://" + addr, http: &http.Client{Transport: &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 500 * time.Millisecond}).DialContext,
		MaxIdleConnsPerHost: 64,
		IdleConnTimeout:     time.Minute,
	}}}
}

func (p *peer) push(ctx context.Context, o Order) error {
	body, err := json.Marshal(o)
	if err != nil {
		return errs.Wrap(errs.Internal, err, "write order %s", o.ID)
	}
	_, err = p.call(ctx, http.MethodPost, "/orders", body)
	return err
}

func (p *peer) after(ctx context.Context, offset int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, pullTime)
	defer cancel()
	return p.call(ctx, http.MethodGet, "/log?after="+strconv.FormatInt(offset, 10), nil)
}

func (p *peer) order(ctx context.Context, id string) (Order, error) {
	var o Order
	b, err := p.call(ctx, http.MethodGet, "/orders/"+id, nil)
	if err == nil {
		err = errs.Wrap(errs.Internal, json.Unmarshal(b, &o), "read order %s of %s", id, p.name)
	}
	return o, err
}

func (p *peer) call(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, p.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "ask %s", p.name)
	}
	res, err := p.http.Do(req)
	if err != nil {
		return nil, errs.Wrap(errs.Unavailable, err, "ask %s", p.name)
	}
	defer func() { _ = res.Body.Close() }()
	b, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return nil, errs.Wrap(errs.Unavailable, err, "ask %s", p.name)
	case res.StatusCode == http.StatusNotFound:
		return nil, errs.E(errs.NotFound, "%s has no %s", p.name, path)
	case res.StatusCode == http.StatusBadRequest:
		return nil, errs.E(errs.Invalid, "%s refused %s: %s", p.name, path, b)
	case res.StatusCode != http.StatusOK:
		return nil, errs.E(errs.Unavailable, "%s answered %s", p.name, res.Status)
	}
	return b, nil
}
