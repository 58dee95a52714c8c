package setup

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/sparecloud/spare/internal/errs"
)

// maxLine bounds what one answer may be, in bytes.
const maxLine = 4096

// question asks for one answer.
type question struct {
	text     string
	fallback func(a Answers) string
	take     func(a *Answers, given string) error // nil: it can be what was given
	skip     func(a Answers) bool                 // known already
}

// Ask completes the answers by asking for what is empty. Each question has a
// default, which an empty line takes, and an answer that cannot be right is
// asked for again. Invalid: the input ended before the last answer.
func Ask(in io.Reader, out io.Writer, a Answers) (Answers, error) {
	lines := bufio.NewReaderSize(in, maxLine)
	for _, q := range questions() {
		for !q.skip(a) {
			fallback := q.fallback(a)
			if _, err := fmt.Fprintf(out, "%s [%s]: ", q.text, fallback); err != nil {
				return a, errs.Wrap(errs.Unavailable, err, "ask")
			}
			given, err := readLine(lines)
			if err != nil {
				_, _ = fmt.Fprintln(out) // the terminal's line is not ended yet
				return a, err
			}
			if given == "" {
				given = fallback
			}
			next := a
			next.Places = append([]Place(nil), a.Places...)
			err = q.take(&next, given)
			if err == nil {
				err = next.plausible()
			}
			if err == nil {
				a = next
				break
			}
			if _, err := fmt.Fprintf(out, "  %s\n", err); err != nil {
				return a, errs.Wrap(errs.Unavailable, err, "ask")
			}
		}
	}
	return a, nil
}

func readLine(r *bufio.Reader) (string, error) {
	line, err := r.ReadSlice('\n')
	if errors.Is(err, bufio.ErrBufferFull) {
		return "", errs.E(errs.Invalid, "an answer is longer than %d bytes; nothing was written", maxLine)
	}
	if err != nil && (len(line) == 0 || !errors.Is(err, io.EOF)) {
		return "", errs.E(errs.Invalid, "no answer was given, and nothing was written")
	}
	return strings.TrimSpace(string(line)), nil
}

// plausible checks what is known so far, with stand-ins for the rest.
func (a Answers) plausible() error {
	if a.Service == "" {
		a.Service = "service"
	}
	if len(a.Places) == 0 {
		a.Places = []Place{{"provider", "region", "http://origin.example.com"}}
	}
	_, err := a.File()
	return err
}

// questions are all that is asked, in order.
func questions() []question {
	plain := func(text, fallback string, field func(a *Answers) *string) question {
		return question{
			text:     text,
			skip:     func(a Answers) bool { return *field(&a) != "" },
			fallback: func(Answers) string { return fallback },
			take:     func(a *Answers, given string) error { *field(a) = given; return nil },
		}
	}
	d := Answers{}.Defaults()
	return []question{
		plain("Name of the service", "shop", func(a *Answers) *string { return &a.Service }),
		plain("Host name that users ask for, or any", d.Host, func(a *Answers) *string { return &a.Host }),
		place("Where it runs, as PROVIDER:REGION=URL", "aws:us-east-1=https://%s-aws.example.com", 0),
		place("Where its spare runs, or none", "gcp:europe-west1=https://%s-gcp.example.com", 1),
		plain("Path of its health check", d.Check, func(a *Answers) *string { return &a.Check }),
		plain("Address to listen on for users", d.Listen, func(a *Answers) *string { return &a.Listen }),
		plain("Folder that keeps state", d.Data, func(a *Answers) *string { return &a.Data }),
	}
}

func place(text, fallback string, n int) question {
	return question{
		text:     text,
		skip:     func(a Answers) bool { return len(a.Places) > n },
		fallback: func(a Answers) string { return fmt.Sprintf(fallback, label(a.Service)) },
		take: func(a *Answers, given string) error {
			if n > 0 && given == "none" {
				return nil
			}
			p, err := ParsePlace(given)
			if err == nil {
				a.Places = append(a.Places, p)
			}
			return err
		},
	}
}
