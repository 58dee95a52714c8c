package demo

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"syscall"
	"time"

	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/demo/proof"
	"github.com/sparecloud/spare/internal/demo/shop"
)

// once makes a connection for every request: what a victim does with an old
// one proves nothing.
var once = &http.Transport{DisableKeepAlives: true}

// get asks for url, within limit.
func get(ctx context.Context, tr *http.Transport, url string, limit time.Duration) (status int, body []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	res, err := tr.RoundTrip(req)
	if err != nil {
		return 0, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err = io.ReadAll(io.LimitReader(res.Body, 8<<20))
	return res.StatusCode, body, err
}

// ask says what came of asking for url.
func ask(ctx context.Context, url string, limit time.Duration) (status int, reply proof.Reply) {
	status, _, err := get(ctx, once, url, limit)
	return status, replyOf(ctx, err)
}

// replyOf reads an error of get. A request that ended because the demo ends
// proves nothing.
func replyOf(ctx context.Context, err error) proof.Reply {
	switch {
	case err == nil:
		return proof.Answered
	case ctx.Err() != nil:
		return ""
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF):
		return proof.Refused
	case errors.Is(err, context.DeadlineExceeded):
		return proof.NoAnswer
	default:
		return ""
	}
}

// served reads the cloud's own counter of requests, past Spare.
func served(ctx context.Context, c *cloud) (uint64, proof.Reply) {
	_, body, err := get(ctx, once, "http://"+c.inside+"/stats", 500*time.Millisecond)
	var st shop.Stats
	if err == nil {
		err = json.Unmarshal(body, &st)
	}
	return st.Served, replyOf(ctx, err)
}

// takenBack reports whether Spare holds the cloud to be well and sends it
// traffic when its turn comes.
func (s *stage) takenBack(ctx context.Context, site string) bool {
	svc, err := s.client.Service(ctx, service)
	if err != nil {
		return false
	}
	for _, o := range svc.Origins {
		if o.Site == site {
			return o.State == "up" && !o.Ejected
		}
	}
	return false
}

// archived gives the bucket as Spare's status document has it.
func (s *stage) archived(ctx context.Context) (apiv1.Bucket, bool) {
	st, err := s.client.Status(ctx)
	if err != nil {
		return apiv1.Bucket{}, false
	}
	for _, b := range st.Buckets {
		if b.ID == bucket {
			return b, true
		}
	}
	return apiv1.Bucket{}, false
}

// caughtUp reports whether Spare says that the cloud's replica of the bucket
// works and lacks nothing.
func (s *stage) caughtUp(ctx context.Context, site string) bool {
	b, _ := s.archived(ctx)
	for _, r := range b.Replicas {
		if r.Site == site {
			return r.State == "up" && r.Behind == 0 && !r.More
		}
	}
	return false
}

// toProviders gives how many requests Spare says it sent to the clouds' buckets.
func (s *stage) toProviders(ctx context.Context) (n uint64) {
	b, _ := s.archived(ctx)
	for _, r := range b.Replicas {
		n += r.Requests
	}
	return n
}
