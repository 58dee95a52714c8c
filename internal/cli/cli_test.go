package cli

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
)

func everyCommand(c *cobra.Command, f func(*cobra.Command)) {
	f(c)
	for _, sub := range c.Commands() {
		everyCommand(sub, f)
	}
}

func TestEveryCommandIsExplained(t *testing.T) {
	n := 0
	everyCommand(newRoot(Options{}), func(c *cobra.Command) {
		n++
		if c.Short == "" || c.Example == "" {
			t.Errorf("%s: short %q, example %q", c.CommandPath(), c.Short, c.Example)
		}
		for line := range strings.Lines(c.Example) {
			if !strings.HasPrefix(line, "  ") || !strings.Contains(line, "spare") {
				t.Errorf("%s: example %q", c.CommandPath(), line)
			}
		}
	})
	if n < 18 {
		t.Errorf("only %d commands", n)
	}
}

func TestExitCodesAreTheDocumentedOnes(t *testing.T) {
	codes := map[int]error{
		0: nil,
		1: errors.New("x"),
		2: misused(&cobra.Command{}, nil, "x"),
		3: errs.E(errs.Invalid, "x"),
		4: errs.E(errs.NotFound, "x"),
		5: errs.E(errs.Stale, "x"),
		6: errs.E(errs.Denied, "x"),
		7: errs.E(errs.Unavailable, "x"),
		8: errs.MaybeApplied(errs.E(errs.Unavailable, "x")),
	}
	for want, err := range codes {
		for _, err := range []error{err, errs.WithHint(err, "y")} {
			if got := exitCode(err); got != want {
				t.Errorf("exit code of %v is %d, want %d", err, got, want)
			}
		}
		if !strings.Contains(newRoot(Options{}).Long, fmt.Sprintf("\n  %d  ", want)) {
			t.Errorf("the help does not explain exit code %d", want)
		}
	}
	if got := exitCode(said(errs.E(errs.Invalid, "x"))); got != 3 {
		t.Errorf("exit code of a reported error is %d", got)
	}
}

func TestAddressIsOneThatThisMachineReaches(t *testing.T) {
	tls := &estate.KeyPair{}
	for _, tt := range []struct {
		listen estate.Listen
		want   string
	}{
		{estate.Listen{API: "127.0.0.1:7700"}, "http://127.0.0.1:7700"},
		{estate.Listen{API: "localhost:7700"}, "http://localhost:7700"},
		{estate.Listen{API: "[::1]:7700"}, "http://[::1]:7700"},
		{estate.Listen{API: ":7700", APITLS: tls}, "https://127.0.0.1:7700"},
		{estate.Listen{API: "[::]:7700", APITLS: tls}, "https://127.0.0.1:7700"},
		{estate.Listen{API: "0.0.0.0:7700", APITLS: tls}, "https://127.0.0.1:7700"},
		{estate.Listen{API: "10.0.0.1:7700", APITLS: tls}, "https://10.0.0.1:7700"},
	} {
		if got := address(tt.listen); got != tt.want {
			t.Errorf("address of %q is %s, want %s", tt.listen.API, got, tt.want)
		}
	}
}

func TestForeignTextMovesNoCursor(t *testing.T) {
	var b strings.Builder
	tb := newTable(&b, "A", "B")
	tb.row("x\x1b[2J\ny\tz", "")
	tb.flush()
	if want := "A          B\nx?[2J y z  -\n"; b.String() != want {
		t.Errorf("table %q, want %q", b.String(), want)
	}
}

func TestDurationsAreShortForPeople(t *testing.T) {
	for ms, want := range map[float64]string{0: "0ms", 0.04: "0ms", 4.25: "4.3ms", 999.9: "999.9ms", 12345.6: "12.35s", 1e6: "1000s"} {
		if got := milliseconds(ms); got != want {
			t.Errorf("%v ms is %q, want %q", ms, got, want)
		}
	}
	for d, want := range map[time.Duration]string{1500 * time.Microsecond: "2ms", 90*time.Second + time.Millisecond: "1m30s"} {
		if got := span(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}
