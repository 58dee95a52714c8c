package edge

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/sparecloud/spare/internal/edge/guard"
)

// switchProtocols joins the client's connection with the origin's after a 101
// answer (WebSocket and the like), until either side ends.
func (h *server) switchProtocols(w http.ResponseWriter, r *http.Request, out outcome) {
	defer out.drop()
	client, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, "this connection cannot switch protocols", http.StatusBadRequest)
		return
	}
	defer func() { _ = client.Close() }()
	if !guard.Passthrough(r) {
		return // the client spoke the new protocol too early, and the guard has taken it for HTTP
	}
	_ = client.SetDeadline(time.Time{})
	h.mu.Lock()
	h.upgraded[client] = struct{}{}
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		delete(h.upgraded, client)
		h.mu.Unlock()
	}()
	if err := writeSwitch(buf.Writer, out.resp.Header); err != nil {
		return
	}
	join(client, buf.Reader, out.resp.Stream())
}

func writeSwitch(w *bufio.Writer, origin http.Header) error {
	head := endToEnd(origin)
	head.Set("Connection", "Upgrade")
	head.Set("Upgrade", origin.Get("Upgrade"))
	if _, err := io.WriteString(w, "HTTP/1.1 101 Switching Protocols\r\n"); err != nil {
		return err
	}
	if err := head.Write(w); err != nil {
		return err
	}
	if _, err := io.WriteString(w, "\r\n"); err != nil {
		return err
	}
	return w.Flush()
}

// join copies both ways; the first end closes both.
func join(client net.Conn, ahead io.Reader, origin io.ReadWriteCloser) {
	done := make(chan struct{}, 2)
	go func() {
		_, _ = io.Copy(origin, ahead)
		done <- struct{}{}
	}()
	go func() {
		_, _ = io.Copy(client, origin)
		done <- struct{}{}
	}()
	<-done
	_ = origin.Close()
	_ = client.Close()
	<-done
}
