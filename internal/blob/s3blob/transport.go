package s3blob

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"time"
)

// transport gives the connections of one bucket.
//
// HTTP/1.1 only: there a request whose body fails is ended by closing its
// connection, which every server understands, and one connection that hangs
// holds up one request.
func transport(o Options) *http.Transport {
	dial := o.Dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: o.Timeouts.Dial, KeepAlive: 15 * time.Second}).DialContext
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dial,
		TLSClientConfig:       &tls.Config{RootCAs: o.RootCAs, MinVersion: tls.VersionTLS12, ClientSessionCache: tls.NewLRUClientSessionCache(64)},
		TLSHandshakeTimeout:   o.Timeouts.Dial,
		Protocols:             protocols,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       20 * time.Second, // sooner than common servers hang up
		ExpectContinueTimeout: time.Second,
		WriteBufferSize:       32 << 10,
		ReadBufferSize:        32 << 10,
		DisableCompression:    true, // a body that is changed on its way has another length and digest
	}
}

// direct gives the transport a streamed body as it is. The SDK wraps it so
// that Close waits for a Read that is under way, and a request that is
// cancelled closes its body: it would hang as long as the caller's body does.
type direct struct{ next *http.Transport }

// bodyKey holds the body in the request's context.
type bodyKey struct{}

func (d direct) RoundTrip(req *http.Request) (*http.Response, error) {
	if body, ok := req.Context().Value(bodyKey{}).(io.Reader); ok {
		req = req.WithContext(req.Context()) // a copy: the request is the SDK's
		req.Body = io.NopCloser(body)
	}
	return d.next.RoundTrip(req)
}
