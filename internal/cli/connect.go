package cli

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/api"
	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/config"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
)

// purpose is what a client is for.
type purpose int

const (
	reads   purpose = iota
	acts            // needs the token
	follows         // one answer that has no end
)

// patience is how long a whole answer may take. An action may wait for a fence
// hook.
func (p purpose) patience() time.Duration {
	switch p {
	case acts:
		return 65 * time.Second
	case follows:
		return 0
	default:
		return 15 * time.Second
	}
}

// path finds the estate file and gives its absolute path. NotFound: none was
// named, and neither of the usual ones exists.
func (e *env) path() (string, error) {
	name := e.config
	if name == "" {
		for _, usual := range []string{"spare.yaml", "/etc/spare/spare.yaml"} {
			if _, err := os.Stat(usual); err == nil {
				name = usual
				break
			}
		}
	}
	if name == "" {
		return "", errs.WithHint(errs.E(errs.NotFound, "there is no ./spare.yaml and no /etc/spare/spare.yaml"),
			"name the estate file with -c FILE")
	}
	abs, err := filepath.Abs(name)
	return abs, errs.Wrap(errs.Unavailable, err, "find %s", name)
}

// estate reads the estate file for what a client needs of it. The secrets that
// it refers to may be out of a client's reach and are not needed.
func (e *env) estate() (*estate.Estate, error) {
	path, err := e.path()
	if err != nil {
		return nil, err
	}
	return config.Load(path, config.Options{LookupEnv: func(name string) (string, bool) {
		if v, ok := os.LookupEnv(name); ok {
			return v, true
		}
		return "unset", true
	}})
}

// client gives a client of the API. Only one that acts cannot do without the
// token.
func (e *env) client(p purpose) (*apiv1.Client, error) {
	st, fileErr := e.estate()
	var faults *config.Errors
	if errors.As(fileErr, &faults) && faults.Partial != nil { // enough to ask the Spare that runs by an older version of the file
		st, fileErr = faults.Partial, nil
		e.warn("the estate file has faults, see `spare check`; asking the API at %s all the same", st.Listen.API)
	}
	if fileErr != nil && e.api == "" {
		return nil, errs.WithHint(fileErr, "the API's address is in the estate file: mend it, name another with -c, or give the address with --api")
	}
	base := e.api
	switch {
	case base == "":
		base = address(st.Listen)
	case !strings.Contains(base, "://"): // listen.api's own form
		base = address(estate.Listen{API: base})
	}
	token, err := e.token(st, fileErr)
	if err != nil && (p == acts || e.tokenFile != "") {
		return nil, err
	}
	hc := &http.Client{Timeout: p.patience()}
	if st != nil && e.api == "" && st.Listen.APITLS != nil {
		hc.Transport = &http.Transport{TLSClientConfig: trust(st.Listen.APITLS.Cert)}
	}
	c, err := apiv1.New(base, token, hc)
	if err != nil {
		return nil, err
	}
	c.Actor = actor()
	return c, nil
}

// token reads the token that is named, or the one in the data folder.
func (e *env) token(st *estate.Estate, fileErr error) (string, error) {
	if e.tokenFile != "" {
		return api.ReadToken(e.tokenFile)
	}
	if fileErr != nil {
		return "", errs.WithHint(errs.Wrap(errs.KindOf(fileErr), fileErr, "find the token"), "name its file with --token-file")
	}
	token, err := api.ReadToken(filepath.Join(st.Data, api.TokenFile))
	return token, errs.WithHint(err, "run this as the user that `spare run` has, or name the token's file with --token-file")
}

// address gives the URL at which this machine reaches the API.
func address(l estate.Listen) string {
	scheme := "http"
	if l.APITLS != nil {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(l.API)
	if err != nil {
		return scheme + "://" + l.API
	}
	if ip, err := netip.ParseAddr(host); host == "" || (err == nil && ip.IsUnspecified()) {
		host = "127.0.0.1"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

// trust accepts the very certificate that the estate file names, besides those
// that the system trusts, under the certificate's own first name: the file is
// a better witness than a name in between.
func trust(cert string) *tls.Config {
	tc := &tls.Config{MinVersion: tls.VersionTLS12}
	content, err := os.ReadFile(cert)
	if err != nil {
		return tc
	}
	block, _ := pem.Decode(content)
	if block == nil {
		return tc
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return tc
	}
	if tc.RootCAs, err = x509.SystemCertPool(); err != nil {
		tc.RootCAs = x509.NewCertPool()
	}
	tc.RootCAs.AddCert(leaf)
	switch {
	case len(leaf.DNSNames) > 0:
		tc.ServerName = leaf.DNSNames[0]
	case len(leaf.IPAddresses) > 0:
		tc.ServerName = leaf.IPAddresses[0].String()
	}
	return tc
}

// actor names the user of the system for the journal; "" when that cannot be
// told.
func actor() string {
	u, err := user.Current()
	if err != nil || len(u.Username) > 64 || clean(u.Username) != u.Username {
		return ""
	}
	return u.Username
}
