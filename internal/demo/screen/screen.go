// Package screen shows a demo to people: a timeline that grows line by line, a
// meter below it that is rewritten in place on a terminal, and the report at
// the end.
//
// Nothing is said by colour alone, and nothing is coloured where NO_COLOR is
// set or nobody looks on. Lines fit the terminal's width.
//
//	s := screen.New(os.Stderr, screen.Of(os.Stderr))
//	s.Say("cloud-a killed (SIGKILL, pid %d)", pid)
//	s.Meter(ledger.Meter(time.Now()), objects.Meter(time.Now()))
//	err := s.Report(os.Stdout, report)
package screen

import (
	"fmt"
	"io"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/sparecloud/spare/internal/demo/load"
	"github.com/sparecloud/spare/internal/demo/objectload"
)

// Options say how to show.
type Options struct {
	TTY   bool // lines may be rewritten
	Color bool
	Width int // columns; 0 = 80
}

// Screen is one timeline. Its methods may be called from several goroutines.
type Screen struct {
	Options
	begin time.Time

	mu    sync.Mutex
	w     io.Writer
	meter string // on the terminal now, not ended by a newline
}

// New makes a timeline that begins now.
func New(w io.Writer, o Options) *Screen {
	if o.Width <= 0 {
		o.Width = 80
	}
	return &Screen{Options: o, begin: time.Now(), w: w}
}

// Say adds a line to the timeline.
func (s *Screen) Say(format string, args ...any) {
	s.say("", fmt.Sprintf(format, args...))
}

// Fault adds a line that stands out.
func (s *Screen) Fault(format string, args ...any) {
	s.say("1;31", fmt.Sprintf(format, args...))
}

func (s *Screen) say(color, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	stamp := fmt.Sprintf("%+7.1fs  ", time.Since(s.begin).Seconds())
	for i, line := range wrap(text, s.Width-len(stamp)) {
		if i > 0 {
			stamp = fmt.Sprintf("%*s", len(stamp), "")
		}
		_, _ = fmt.Fprintln(s.w, stamp+s.paint(color, line))
	}
}

// Meter shows how things go: in place on a terminal, else as a line of the
// timeline.
func (s *Screen) Meter(m load.Meter, o objectload.Meter) {
	text := fmt.Sprintf("%s: %.0f requests/s, %d failed, p99 %.0f ms; objects: %.0f/s, %d failed",
		nobody(m.Cloud), m.PerSecond, m.Failed, m.P99MS, o.PerSecond, o.Failed)
	if !s.TTY {
		s.say("", "  "+text)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
	s.meter = cut(fmt.Sprintf("%+7.1fs  ", time.Since(s.begin).Seconds())+text, s.Width-1)
	_, _ = io.WriteString(s.w, s.paint("2", s.meter))
}

// End takes the meter away.
func (s *Screen) End() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.clear()
}

func (s *Screen) clear() {
	if s.meter != "" {
		_, _ = io.WriteString(s.w, "\r\x1b[K")
		s.meter = ""
	}
}

func (s *Screen) paint(color, text string) string {
	if !s.Color || color == "" {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

func nobody(cloud string) string {
	if cloud == "" {
		return "nobody"
	}
	return cloud
}

// cut shortens a line to the width.
func cut(s string, width int) string {
	if utf8.RuneCountInString(s) <= width || width < 1 {
		return s
	}
	return string([]rune(s)[:width])
}
