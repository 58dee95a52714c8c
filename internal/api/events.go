package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/journal"
)

// How event streams are kept.
const (
	maxStreams  = 64
	pollEvery   = 250 * time.Millisecond
	pingEvery   = 15 * time.Second // finds clients that went without a word
	streamWrite = 10 * time.Second // to take one batch
)

// events sends new entries for as long as the client listens. It asks the
// journal again and again, so a slow client holds nothing up and costs no
// memory: it is only behind.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		s.fail(w, r, errs.E(errs.Unavailable, "%d event streams are open already", maxStreams))
		return
	}
	q, err := s.beginning(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	go func() {
		select {
		case <-s.closing:
			cancel()
		case <-ctx.Done():
		}
	}()
	st := stream{w: w, rc: http.NewResponseController(w)}
	_ = st.rc.SetReadDeadline(time.Time{}) // a listener has nothing to say
	w.Header().Set("Content-Type", "text/event-stream")
	if st.send("retry: 2000\n\n") != nil {
		return
	}
	s.follow(ctx, &st, q)
}

// beginning reads what to send, and from where on: after Last-Event-ID, or
// after the newest entry there is.
func (s *Server) beginning(r *http.Request) (journal.Query, error) {
	wire, err := apiv1.ParseJournalQuery(r.URL.Query())
	if err != nil {
		return journal.Query{}, err
	}
	q := query(wire)
	q.Oldest, q.Limit = true, apiv1.MaxLimit
	if last := r.Header.Get("Last-Event-ID"); last != "" {
		q.After, err = strconv.ParseInt(last, 10, 64)
		if err != nil || q.After < 0 {
			return q, errs.E(errs.Invalid, "Last-Event-ID %q is not an entry's id", last)
		}
		return q, nil
	}
	newest, _, err := s.Backend.Entries(r.Context(), journal.Query{Limit: 1})
	if err == nil && len(newest) > 0 {
		q.After = newest[0].ID
	}
	return q, err
}

// follow sends what comes after q.After until the client or the server ends.
// A journal that does not answer for a moment is asked again.
func (s *Server) follow(ctx context.Context, st *stream, q journal.Query) {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		list, more, err := s.Backend.Entries(ctx, q)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.Log.Warn("event stream: journal not read", "err", err)
			more = false
		}
		if st.entries(list) != nil {
			return
		}
		if n := len(list); n > 0 {
			q.After = list[n-1].ID
		}
		if more {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// stream writes server-sent events.
type stream struct {
	w    http.ResponseWriter
	rc   *http.ResponseController
	last time.Time // of the last bytes
}

// entries sends a batch, or from time to time a comment when there is none.
func (st *stream) entries(list []journal.Entry) error {
	if len(list) == 0 {
		if time.Since(st.last) < pingEvery {
			return nil
		}
		return st.send(": still here\n\n")
	}
	var batch []byte
	for _, e := range list {
		doc, err := json.Marshal(entry(e))
		if err != nil {
			return err
		}
		batch = fmt.Appendf(batch, "id: %d\nevent: entry\ndata: %s\n\n", e.ID, doc)
	}
	return st.send(string(batch))
}

func (st *stream) send(s string) error {
	// A recorder in a test has no deadline to set.
	_ = st.rc.SetWriteDeadline(time.Now().Add(streamWrite))
	if _, err := st.w.Write([]byte(s)); err != nil {
		return err
	}
	st.last = time.Now()
	return st.rc.Flush()
}
