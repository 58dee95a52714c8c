package apiv1

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"

	"github.com/sparecloud/spare/internal/errs"
)

// maxReply bounds what the client reads of one answer, in bytes.
const maxReply = 64 << 20

// ActorHeader names who acts, beside the token that allows it.
const ActorHeader = "Spare-Actor"

// Client talks to one Spare. Its methods may be called from several
// goroutines. Errors have the kind that the server gave them; Unavailable when
// it could not be reached. An action whose answer never came is marked with
// [errs.MaybeApplied].
type Client struct {
	base  *url.URL
	token string
	http  *http.Client
	// Actor, when set, is recorded as the one who acts.
	Actor string
}

// New gives a client of the server at base, "http://127.0.0.1:7700". The token
// may be empty where only open documents are read; it is never sent in clear
// over a network. A nil hc is one of its own.
func New(base, token string, hc *http.Client) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, errs.WithHint(errs.E(errs.Invalid, "%q is not the address of an API", base),
			"give one such as http://127.0.0.1:7700")
	}
	if token != "" && u.Scheme == "http" && !isLoopback(u.Hostname()) {
		return nil, errs.WithHint(errs.E(errs.Denied, "the token is not sent to %s without TLS", u.Host),
			"use an https address, or a tunnel to the loopback address")
	}
	if hc == nil {
		hc = &http.Client{}
	}
	own := *hc
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Client{base: u, token: token, http: &own}, nil
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || (ip != nil && ip.IsLoopback())
}

// Status gives the whole picture.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var doc Status
	return doc, c.read(ctx, &doc, nil, "status")
}

// Service gives one service; NotFound if there is none of that name.
func (c *Client) Service(ctx context.Context, id string) (Service, error) {
	var doc Service
	return doc, c.read(ctx, &doc, nil, "services", id)
}

// Incidents lists incidents, newest first.
func (c *Client) Incidents(ctx context.Context, q IncidentQuery) (IncidentList, error) {
	var doc IncidentList
	return doc, c.read(ctx, &doc, q.Values(), "incidents")
}

// Incident gives one incident; NotFound if there is none of that name.
func (c *Client) Incident(ctx context.Context, id string) (Incident, error) {
	var doc Incident
	return doc, c.read(ctx, &doc, nil, "incidents", id)
}

// Timeline gives one incident with all that happened in it.
func (c *Client) Timeline(ctx context.Context, id string) (Timeline, error) {
	var doc Timeline
	return doc, c.read(ctx, &doc, nil, "incidents", id, "timeline")
}

// Report gives the report of one incident.
func (c *Client) Report(ctx context.Context, id string) (Report, error) {
	var doc Report
	return doc, c.read(ctx, &doc, nil, "incidents", id, "report")
}

// Journal gives one page of the journal.
func (c *Client) Journal(ctx context.Context, q JournalQuery) (JournalPage, error) {
	var doc JournalPage
	return doc, c.read(ctx, &doc, q.Values(), "journal")
}

// Act does what the verb says to the service.
func (c *Client) Act(ctx context.Context, service string, v Verb, a Action) (Outcome, error) {
	var doc Outcome
	err := c.write(ctx, &doc, a, "services", service, string(v))
	if a.DryRun {
		err = withoutEffect(err)
	}
	return doc, err
}

// Reload makes the server read its estate file again. Invalid: the file is
// wrong, and the one in force stays so.
func (c *Client) Reload(ctx context.Context) (Reload, error) {
	var doc Reload
	return doc, c.write(ctx, &doc, struct{}{}, "reload")
}

func (c *Client) read(ctx context.Context, doc any, q url.Values, path ...string) error {
	res, err := c.send(ctx, http.MethodGet, nil, q, nil, path...)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // nothing to do about it, and nothing is lost
	return decode(res, doc)
}

// write sends a change. From the moment that a connection is held, a missing
// answer leaves open what happened.
func (c *Client) write(ctx context.Context, doc, body any, path ...string) error {
	sent := false
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { sent = true }})
	b, err := json.Marshal(body)
	if err != nil {
		return errs.Wrap(errs.Internal, err, "write the request")
	}
	res, err := c.send(ctx, http.MethodPost, bytes.NewReader(b), nil, nil, path...)
	if err != nil {
		if sent {
			err = errs.MaybeApplied(err)
		}
		return err
	}
	defer res.Body.Close() //nolint:errcheck // nothing to do about it, and nothing is lost
	err = decode(res, doc)
	if err != nil && res.StatusCode < 300 { // done, and the answer was lost
		return errs.MaybeApplied(err)
	}
	return err
}

func (c *Client) send(ctx context.Context, method string, body io.Reader, q url.Values, h http.Header, path ...string) (*http.Response, error) {
	// Each element is escaped: an id is a name, never part of the path.
	esc := make([]string, len(path))
	for i, p := range path {
		esc[i] = url.PathEscape(p)
	}
	u := c.base.JoinPath("api", "v1").String() + "/" + strings.Join(esc, "/")
	if len(q) > 0 {
		u += "?" + q.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, u, body)
	if err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "ask %s", c.base.Host)
	}
	for k, v := range h {
		req.Header[k] = v
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
		if c.Actor != "" {
			req.Header.Set(ActorHeader, c.Actor)
		}
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, unreachable(c.base.Host, err)
	}
	return res, nil
}

func unreachable(host string, err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err // its text repeats method and address
	}
	err = errs.Wrap(errs.Unavailable, err, "ask the API at %s", host)
	return errs.WithHint(err, "is `spare run` up, and does listen.api (or --api) name this address?")
}

// decode reads doc from a success, and gives the error of anything else.
func decode(res *http.Response, doc any) error {
	body, err := io.ReadAll(io.LimitReader(res.Body, maxReply))
	if err != nil {
		return errs.Wrap(errs.Unavailable, err, "read the API's answer")
	}
	if res.StatusCode/100 != 2 {
		return failure(res, body)
	}
	if err := json.Unmarshal(body, doc); err != nil {
		return errs.Wrap(errs.Internal, err, "read the API's answer")
	}
	return nil
}

func failure(res *http.Response, body []byte) error {
	var e Error
	if json.Unmarshal(body, &e) == nil && e.Kind != "" {
		return e.Err()
	}
	err := errs.E(kindOfStatus(res.StatusCode), "the API answered %s", res.Status)
	if res.Request.Method == http.MethodPost && res.StatusCode >= 500 {
		err = errs.MaybeApplied(err) // something in between gave up on it
	}
	return err
}

// withoutEffect takes the mark of unknown effect off a request that has none.
func withoutEffect(err error) error {
	if !errs.IsMaybeApplied(err) {
		return err
	}
	doc := ErrorOf(err)
	doc.MaybeApplied = false
	return doc.Err()
}
