package s3blob

import (
	"crypto/tls"
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
