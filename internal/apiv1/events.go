package apiv1

import (
	"bufio"
	"context"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/errs"
)

// maxEvent bounds one line of the event stream, in bytes.
const maxEvent = 4 << 20

// maxSilence is how long a stream may be silent before it is held to be dead.
// The server says something every 15 seconds.
const maxSilence = 45 * time.Second

// Events calls fn with each new entry that q selects, in order, until fn gives
// an error, the stream ends (Unavailable) or ctx does. With q.After it begins
// after that entry, otherwise with the next one that is written. To go on after
// the stream broke, call it again with After set to the last entry's ID.
// q.Before, Limit, Oldest and Cursor have no meaning here and are left out.
func (c *Client) Events(ctx context.Context, q JournalQuery, fn func(Entry) error) error {
	h := http.Header{"Accept": {"text/event-stream"}}
	if q.After > 0 {
		h.Set("Last-Event-ID", strconv.FormatInt(q.After, 10))
	}
	q.Before, q.After, q.Limit, q.Oldest, q.Cursor = 0, 0, 0, false, 0
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	alive := time.AfterFunc(maxSilence, cancel)
	defer alive.Stop()
	res, err := c.open(ctx, q.Values(), h)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // nothing to do about it, and nothing is lost

	sc := bufio.NewScanner(res.Body)
	sc.Buffer(make([]byte, 0, 64<<10), maxEvent)
	for sc.Scan() {
		alive.Reset(maxSilence)
		data, ok := strings.CutPrefix(sc.Text(), "data:")
		if !ok { // id, event, comment or the end of an event: an entry is one data line
			continue
		}
		var e Entry
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			return errs.Wrap(errs.Internal, err, "read an event")
		}
		alive.Stop() // fn's time is not the server's
		if err := fn(e); err != nil {
			return err
		}
		alive.Reset(maxSilence)
	}
	if err := sc.Err(); err != nil {
		return errs.Wrap(errs.Unavailable, err, "read the event stream")
	}
	return errs.E(errs.Unavailable, "the event stream ended")
}

func (c *Client) open(ctx context.Context, q url.Values, h http.Header) (*http.Response, error) {
	res, err := c.send(ctx, http.MethodGet, nil, q, h, "events")
	if err != nil {
		return nil, err
	}
	mt, _, err := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if res.StatusCode == http.StatusOK && err == nil && mt == "text/event-stream" {
		return res, nil
	}
	defer res.Body.Close() //nolint:errcheck // nothing to do about it, and nothing is lost
	if err := decode(res, &struct{}{}); err != nil {
		return nil, err
	}
	return nil, errs.E(errs.Internal, "the API answered with %q instead of an event stream", mt)
}
