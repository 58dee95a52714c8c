package demo

import (
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/demo/load"
	"github.com/sparecloud/spare/internal/demo/proof"
	"github.com/sparecloud/spare/internal/demo/shop"
)

// closed waits until Spare has closed all incidents.
func (s *stage) closed(ctx context.Context) error {
	n, waiting := 0, false
	err := s.await(ctx, "Spare closes the incident", s.pace.back, s.spare, func(ctx context.Context) bool {
		list, err := s.client.Incidents(ctx, apiv1.IncidentQuery{})
		n = len(list.Incidents)
		open := slices.ContainsFunc(list.Incidents, func(in apiv1.Incident) bool { return in.Closed.IsZero() })
		if open && !waiting {
			waiting = true
			s.screen.Say("the incident is open until all has stayed well for a while")
		}
		return err == nil && !open
	})
	if err == nil && n > 0 {
		s.screen.Say("Spare has closed the incident")
	}
	return err
}

// audit gathers what is left of the story: the ledger, the folders, what Spare
// shows of each order, and what it wrote down.
func (s *stage) audit(ctx context.Context, e *proof.Evidence) {
	missed := func(err error) {
		if err != nil {
			e.Interrupted = append(e.Interrupted, err.Error())
		}
	}
	if s.hooks.audit != nil {
		s.hooks.audit(s.dir)
	}
	e.Entries = s.ledger.Entries()
	s.screen.Say("the ledgers have %d requests and %d operations on objects; every order and every object is looked up", len(e.Entries), s.things.Meter(time.Now()).Done)
	e.Lookups = s.lookups(ctx, e.Entries)
	missed(s.inspect(ctx, &e.Archive))
	e.Logs = map[string][]shop.Record{}
	for _, c := range s.clouds {
		recs, err := shop.ReadLog(c.dir)
		missed(err)
		e.Logs[c.name] = recs
	}
	if len(e.Interrupted) == 0 { // else it is broken already
		missed(s.closed(ctx))
	}
	var list apiv1.IncidentList
	var err error
	for range 3 {
		if list, err = s.client.Incidents(ctx, apiv1.IncidentQuery{}); err == nil {
			break
		}
		_ = pause(ctx, 200*time.Millisecond)
	}
	missed(err)
	e.Incidents = list.Incidents
	if st, err := s.client.Status(ctx); err == nil {
		e.Version = st.Version
	}
}

// askers is how many orders are looked up at a time.
const askers = 16

// lookups asks Spare for every order that was acknowledged or is of unknown
// effect.
func (s *stage) lookups(ctx context.Context, entries []load.Entry) map[string]proof.Finding {
	todo := make(chan shop.Order)
	found := map[string]proof.Finding{}
	tr := &http.Transport{MaxIdleConnsPerHost: askers}
	defer tr.CloseIdleConnections()
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range askers {
		wg.Go(func() {
			for o := range todo {
				f := s.lookup(ctx, tr, o)
				mu.Lock()
				found[o.ID] = f
				mu.Unlock()
			}
		})
	}
	for _, e := range entries {
		if e.Kind == load.KindOrder && e.Outcome != load.Failed {
			todo <- shop.Order{ID: e.ID, Item: e.Item, Qty: e.Qty}
		}
	}
	close(todo)
	wg.Wait()
	return found
}

// lookup tries three times, because a cloud may not know for a moment.
func (s *stage) lookup(ctx context.Context, tr *http.Transport, want shop.Order) proof.Finding {
	for range 3 {
		status, body, err := get(ctx, tr, "http://"+s.front+"/orders/"+want.ID, 3*time.Second)
		var got shop.Order
		switch {
		case err != nil:
		case status == http.StatusNotFound:
			return proof.Absent
		case status == http.StatusOK && json.Unmarshal(body, &got) == nil && got == want:
			return proof.Found
		case status == http.StatusOK:
			return proof.Other
		}
		if pause(ctx, 200*time.Millisecond) != nil {
			break
		}
	}
	return ""
}
