package failover

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
)

const (
	defaultFenceTimeout = 10 * time.Second
	maxHookOutput       = 4 << 10 // bytes kept for the error message
)

// fenceOrder is what a fence hook is told. The hook must be idempotent: the same
// order may come several times, also after it was obeyed.
type fenceOrder struct {
	Service estate.ServiceID `json:"service"`
	From    estate.SiteID    `json:"from"`
	To      estate.SiteID    `json:"to"`
	Epoch   uint64           `json:"epoch"` // grows from move to move of a service
}

// fence runs the hook. An error that [errs.IsMaybeApplied] marks leaves open
// whether the site is fenced; any other one is a clear no. No hook is a yes.
func fence(ctx context.Context, client *http.Client, f *estate.Fence, o fenceOrder) error {
	if f == nil {
		return nil
	}
	timeout := f.Timeout
	if timeout <= 0 {
		timeout = defaultFenceTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if f.URL != "" {
		return fenceURL(ctx, client, f.URL, o)
	}
	return fenceCommand(ctx, f.Command, o)
}

func fenceURL(ctx context.Context, client *http.Client, url string, o fenceOrder) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(encode(o)))
	if err != nil {
		return errs.Wrap(errs.Invalid, err, "fence %s at %s", o.Service, o.From)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Idempotency-Key", fmt.Sprintf("%s-%d", o.Service, o.Epoch))
	resp, err := client.Do(req)
	if err != nil {
		err = errs.Wrap(errs.Unavailable, err, "fence %s at %s", o.Service, o.From)
		if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "dial" {
			return err // it was never asked
		}
		return errs.MaybeApplied(err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode/100 == 2 {
		return nil
	}
	// A body that cannot be read only makes the message poorer.
	said, _ := io.ReadAll(io.LimitReader(resp.Body, maxHookOutput))
	return errs.E(errs.Unavailable, "fence %s at %s: the hook answered %s%s", o.Service, o.From, resp.Status, quoted(said))
}

func fenceCommand(ctx context.Context, argv []string, o fenceOrder) error {
	if len(argv) == 0 {
		return errs.E(errs.Invalid, "fence %s at %s: the hook has neither URL nor command", o.Service, o.From)
	}
	said := &limitedBuffer{max: maxHookOutput}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "SPARE_SERVICE="+string(o.Service), "SPARE_FROM="+string(o.From),
		"SPARE_TO="+string(o.To), fmt.Sprintf("SPARE_EPOCH=%d", o.Epoch))
	cmd.Stdout, cmd.Stderr = said, said
	// The hook leads a process group, so that what it started ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		return errs.Wrap(errs.Unavailable, err, "fence %s at %s: start the hook", o.Service, o.From)
	}
	err := cmd.Wait()
	if err == nil {
		return nil
	}
	err = errs.Wrap(errs.Unavailable, err, "fence %s at %s: the hook%s", o.Service, o.From, quoted(said.Bytes()))
	if exit := (*exec.ExitError)(nil); ctx.Err() == nil && errors.As(err, &exit) && exit.Exited() {
		return err
	}
	return errs.MaybeApplied(err) // killed, by us or by somebody else
}

func quoted(said []byte) string {
	text := strings.TrimSpace(string(said))
	if text == "" {
		return ""
	}
	return fmt.Sprintf(" said %q", text)
}

// limitedBuffer keeps the first max bytes and swallows the rest, so that a
// talkative hook neither blocks nor fills the memory.
type limitedBuffer struct {
	bytes.Buffer
	max int
}

func (b *limitedBuffer) Write(p []byte) (int, error) {
	if room := b.max - b.Len(); room > 0 {
		b.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
