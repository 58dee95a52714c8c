package shop

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/sparecloud/spare/internal/errs"
)

// ackTime is how long an order waits for a second cloud.
const ackTime = 2 * time.Second

var orderID = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

// front serves the customers.
func (c *cloud) front() http.Handler {
	mux := http.NewServeMux()
	for _, p := range Pages() {
		pattern := "GET " + p.Path
		if p.Path == "/" {
			pattern += "{$}"
		}
		mux.HandleFunc(pattern, servePage(p))
	}
	mux.HandleFunc("POST /orders", c.takeOrder)
	mux.HandleFunc("GET /orders/{id}", c.showOrder)
	mux.HandleFunc("GET /healthz", c.health)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(CloudHeader, c.Name)
		mux.ServeHTTP(w, r)
		if r.URL.Path != "/healthz" {
			c.served.Add(1)
		}
	})
}

func (c *cloud) health(w http.ResponseWriter, _ *http.Request) {
	if !c.ready.Load() {
		http.Error(w, "not yet: this cloud still asks the others for their orders", http.StatusServiceUnavailable)
		return
	}
	_, _ = fmt.Fprintln(w, "ok")
}

// takeOrder answers 201 when this cloud and one more have the order on disk,
// 200 when that order was known already, 503 when nobody can say.
func (c *cloud) takeOrder(w http.ResponseWriter, r *http.Request) {
	var o Order
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 4<<10))
	if err := dec.Decode(&o); err != nil || !orderID.MatchString(o.ID) || o.Item < 1 || o.Item > Products || o.Qty < 1 {
		http.Error(w, "not an order: want {\"id\", \"item\", \"qty\"}", http.StatusBadRequest)
		return
	}
	_, known := c.orders.Order(o.ID)
	err := c.orders.Append(Record{Order: o, Via: ViaFront})
	if kept, _ := c.orders.Order(o.ID); err == nil && kept != o {
		http.Error(w, "there is another order with this id", http.StatusConflict)
		return
	}
	if err == nil {
		err = c.second(o)
	}
	if err != nil {
		c.Log.Warn("order not acknowledged", "order", o.ID, "err", err)
		w.Header().Set(OutcomeHeader, "unknown")
		http.Error(w, "not known whether the order counts: ask for it by its id", http.StatusServiceUnavailable)
		return
	}
	status := http.StatusCreated
	if known {
		status = http.StatusOK
	}
	writeJSON(w, status, o)
}

// second returns nil when one of the peers has the order on disk. The others
// are told too; nobody waits for them.
func (c *cloud) second(o Order) error {
	ctx, cancel := context.WithTimeout(c.ctx, ackTime)
	acks := make(chan error, len(c.peers))
	for _, p := range c.peers {
		go func() { acks <- p.push(ctx, o) }()
	}
	// The context ends when the last peer has answered, not with the request.
	first := make(chan error, 1)
	go func() {
		defer cancel()
		var err error
		for range c.peers {
			if err = <-acks; err == nil && len(first) == 0 {
				first <- nil
			}
		}
		if len(first) == 0 {
			first <- errs.MaybeApplied(errs.E(errs.Unavailable, "no second cloud has order %s: last answer: %v", o.ID, err))
		}
	}()
	return <-first
}

// showOrder answers 404 only when all clouds say that there is no such order.
func (c *cloud) showOrder(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	o, ok := c.orders.Order(id)
	var err error
	if !ok {
		o, ok, err = c.ask(r.Context(), id)
	}
	switch {
	case ok:
		writeJSON(w, http.StatusOK, o)
	case err != nil:
		http.Error(w, "not known: "+err.Error(), http.StatusServiceUnavailable)
	default:
		http.Error(w, "no such order", http.StatusNotFound)
	}
}

func writeJSON(w http.ResponseWriter, status int, doc any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(doc) // the customer is gone: nobody to tell
}
