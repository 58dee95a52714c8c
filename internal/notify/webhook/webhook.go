// Package webhook delivers notices by HTTP: each is one POST of the notice's
// JSON document, signed when there is a secret.
//
// Spare-Signature is "t=<unix seconds>,v1=<hex HMAC-SHA256 of t.body>", with
// the secret as key; a receiver recomputes it and turns old times away.
// Idempotency-Key is the notice's ID, the same in every attempt. A
// [Webhook] cannot be turned against what only this machine can reach: unless
// Options.AllowPrivate is set it connects to public addresses alone, and
// checks the address after the name was resolved.
//
//	hook, err := webhook.New(webhook.Options{URL: "https://hooks.example.com/spare", Secret: key, Log: log})
//	err = hook.Send(ctx, notice)
package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/notify"
)

const (
	timeout      = 10 * time.Second
	maxRedirects = 3
	maxAnswer    = 64 << 10 // bytes of an answer that are read, so that the connection can be kept
)

// Options say where to deliver.
type Options struct {
	URL          string // http or https
	Secret       string // HMAC key; "" = unsigned
	AllowPrivate bool   // the URL may resolve to loopback and private addresses
	Log          *slog.Logger
	// Client, when set, gives the timeout of an attempt (default 10 s) and, if
	// its transport is an *http.Transport, the TLS settings. Nothing else of it
	// is used: connections are always our own.
	Client *http.Client
}

// Webhook is a receiver of notices. It is a [notify.Sender], and safe for
// concurrent use.
type Webhook struct {
	url    *url.URL
	secret []byte
	client *http.Client
	log    *slog.Logger
}

var _ notify.Sender = (*Webhook)(nil)

// New gives the webhook. A URL that is not http or https is an error of kind
// Invalid.
func New(o Options) (*Webhook, error) {
	u, err := url.Parse(o.URL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") {
		return nil, errs.E(errs.Invalid, "the webhook's URL is not an http or https URL") // it may hold a secret: not shown
	}
	return &Webhook{url: u, secret: []byte(o.Secret), client: client(o), log: o.Log}, nil
}

// client gives a client that makes guarded connections of its own. It uses no
// proxy: then the proxy's address would be checked instead of the receiver's.
func client(o Options) *http.Client {
	dialer := &net.Dialer{Timeout: timeout}
	if !o.AllowPrivate {
		dialer.Control = guard
	}
	t := &http.Transport{
		DialContext: dialer.DialContext, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: timeout, IdleConnTimeout: time.Minute, MaxIdleConns: 2,
	}
	c := &http.Client{Transport: t, Timeout: timeout, CheckRedirect: sameOrigin}
	if o.Client == nil {
		return c
	}
	if o.Client.Timeout > 0 {
		c.Timeout = o.Client.Timeout
	}
	if theirs, ok := o.Client.Transport.(*http.Transport); ok && theirs.TLSClientConfig != nil {
		t.TLSClientConfig = theirs.TLSClientConfig.Clone()
	}
	return c
}

// sameOrigin follows a redirect only if it goes to the same scheme and host
// and remains a POST; any other is the receiver's answer.
func sameOrigin(req *http.Request, via []*http.Request) error {
	first := via[0]
	if req.Method != http.MethodPost || req.URL.Scheme != first.URL.Scheme || req.URL.Host != first.URL.Host || len(via) > maxRedirects {
		return http.ErrUseLastResponse
	}
	return nil
}

// Send makes one attempt. An answer of 2xx is nil; 408, 425, 429 and 5xx, and
// no answer, are of kind Unavailable; an address that is not allowed is
// Denied; any other answer is Invalid, which is final.
func (w *Webhook) Send(ctx context.Context, n notify.Notice) error {
	body, err := json.Marshal(n)
	if err != nil {
		return errs.Wrap(errs.Invalid, err, "encode notice %s", n.ID)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.url.String(), bytes.NewReader(body))
	if err != nil {
		return errs.E(errs.Invalid, "make a request to the webhook at %s", w.url.Host)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "Spare")
	req.Header.Set("Idempotency-Key", n.ID)
	if len(w.secret) > 0 {
		req.Header.Set("Spare-Signature", w.sign(time.Now(), body))
	}
	resp, err := w.client.Do(req)
	if err != nil {
		return w.failed(err)
	}
	defer func() { _ = resp.Body.Close() }() // read as far as it matters
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer))
	w.log.Debug("webhook answered", "notice", n.ID, "status", resp.StatusCode)
	return w.answered(resp)
}

func (w *Webhook) sign(now time.Time, body []byte) string {
	t := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, w.secret)
	mac.Write([]byte(t + "."))
	mac.Write(body)
	return "t=" + t + ",v1=" + hex.EncodeToString(mac.Sum(nil))
}

// failed words an error without the URL, whose path may be a secret.
func (w *Webhook) failed(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	if errors.Is(err, errPrivate) {
		err = errs.Wrap(errs.Denied, err, "connect to the webhook at %s", w.url.Host)
		return errs.WithHint(err, "set notify.webhook.allow_private if the webhook is meant to be there")
	}
	return errs.Wrap(errs.Unavailable, err, "send to the webhook at %s", w.url.Host)
}

func (w *Webhook) answered(resp *http.Response) error {
	switch s := resp.StatusCode; {
	case s >= 200 && s <= 299:
		return nil
	case s == http.StatusRequestTimeout, s == http.StatusTooEarly, s == http.StatusTooManyRequests, s >= 500:
		return errs.E(errs.Unavailable, "the webhook at %s answered %d %s", w.url.Host, s, http.StatusText(s))
	case s >= 300 && s <= 399:
		return errs.E(errs.Invalid, "the webhook at %s answered %d, a redirect that is not followed", w.url.Host, s)
	default:
		return errs.E(errs.Invalid, "the webhook at %s answered %d %s", w.url.Host, s, http.StatusText(s))
	}
}
