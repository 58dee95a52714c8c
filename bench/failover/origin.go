package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// What an origin gives.
const (
	serviceTime = 20 * time.Millisecond
	smallSize   = 1 << 10
	largeSize   = 200 << 10
	largeTime   = 200 * time.Millisecond
	slowParts   = 16 // of a slow body, one every slowPause
	slowPause   = 125 * time.Millisecond
)

// content is what every origin answers: replicas hold the same bytes, which
// differ at every offset that a wrong splice could hit.
func content(size int) []byte {
	b := make([]byte, 0, size+16)
	for len(b) < size {
		b = strconv.AppendInt(append(b, '.'), int64(len(b)), 36)
	}
	return b[:size]
}

var (
	small = content(smallSize)
	large = content(largeSize)
)

// origin is one server process. It obeys lines on its standard input: the
// name of a fault puts that in force for everything it answers from then on,
// its health check included.
type origin struct {
	name   string
	ledger *os.File // one line for each POST, written before it is answered
	fault  atomic.Pointer[string]
	count  atomic.Uint64
	ln     net.Listener
	mu     sync.Mutex
	conns  map[net.Conn]struct{}
}

// originMain is the child process.
func originMain(args []string) error {
	flags := flag.NewFlagSet("origin", flag.ExitOnError)
	listen := flags.String("listen", "", "address")
	name := flags.String("name", "", "name in the answers")
	ledger := flags.String("ledger", "", "file of POST ids")
	if err := flags.Parse(args); err != nil {
		return err
	}
	file, err := os.OpenFile(*ledger, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	o := &origin{name: *name, ledger: file, conns: map[net.Conn]struct{}{}}
	o.fault.Store(new(string))
	if o.ln, err = net.Listen("tcp", *listen); err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { o.answer(w, []byte("ok\n")) })
	mux.HandleFunc("/large", o.large)
	mux.HandleFunc("/", o.small)
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute, ConnState: o.track}
	go func() { _ = srv.Serve(o.ln) }()
	fmt.Println("ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		o.obey(lines.Text())
		fmt.Println("done")
	}
	return nil // the parent has gone
}

func (o *origin) track(c net.Conn, s http.ConnState) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s == http.StateClosed {
		delete(o.conns, c)
	} else {
		o.conns[c] = struct{}{}
	}
}

func (o *origin) obey(fault string) {
	o.fault.Store(&fault)
	if fault != faultRefuse {
		return
	}
	_ = o.ln.Close()
	o.mu.Lock()
	defer o.mu.Unlock()
	for c := range o.conns {
		if tcp, ok := c.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // a reset, not an orderly end
		}
		_ = c.Close()
	}
}

// take reads the request whole, notes what it would have changed and spends
// the service time.
func (o *origin) take(r *http.Request) bool {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return false
	}
	if r.Method == http.MethodPost {
		_, _ = o.ledger.Write(append(body, '\n'))
	}
	time.Sleep(serviceTime)
	return true
}

func (o *origin) small(w http.ResponseWriter, r *http.Request) {
	if o.take(r) {
		o.answer(w, small)
	}
}

// answer writes the body, or what the fault in force makes of it.
func (o *origin) answer(w http.ResponseWriter, body []byte) {
	w.Header().Set("Origin-Id", o.name)
	w.Header().Set("Content-Type", "text/plain")
	switch fault := *o.fault.Load(); {
	case fault == fault500, fault == fault500Half && o.count.Add(1)%2 == 0:
		http.Error(w, "broken", http.StatusInternalServerError)
	case fault == faultSlow:
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		flush := http.NewResponseController(w)
		for part := range slowParts {
			_, _ = w.Write(body[len(body)*part/slowParts : len(body)*(part+1)/slowParts])
			_ = flush.Flush()
			time.Sleep(slowPause)
		}
	default:
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
	}
}

// large answers with a strong ETag and accepts ranges, at a pace.
func (o *origin) large(w http.ResponseWriter, r *http.Request) {
	if !o.take(r) {
		return
	}
	w.Header().Set("Origin-Id", o.name)
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("ETag", `"v1"`)
	http.ServeContent(paced{w, http.NewResponseController(w)}, r, "", time.Time{}, bytes.NewReader(large))
}

// paced hides the writer's ReadFrom, so that ServeContent writes in parts, and
// waits after each as a link of largeSize in largeTime would.
type paced struct {
	http.ResponseWriter
	flush *http.ResponseController
}

func (p paced) Write(b []byte) (int, error) {
	const part = largeSize / 10
	for done := 0; done < len(b); {
		n, err := p.ResponseWriter.Write(b[done:min(done+part, len(b))])
		if done += n; err != nil {
			return done, err
		}
		_ = p.flush.Flush()
		time.Sleep(largeTime * time.Duration(n) / largeSize)
	}
	return len(b), nil
}
