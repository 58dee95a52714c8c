// Package apiv1 is the wire form of Spare's HTTP API, version 1: the JSON
// documents that a server writes and a client reads, and the [Client] itself.
//
// The documents are a promise to programs outside of Spare, so they are types
// of their own and not the types that the program works with: fields may be
// added, none is renamed, removed or given another meaning. Names are
// snake_case, times are RFC 3339 in UTC, durations are numbers in milliseconds
// with the unit in the name, lists are never null, and what is not known is
// left out.
//
//	c, err := apiv1.New("http://127.0.0.1:7700", token, nil)
//	st, err := c.Status(ctx)
//	for _, s := range st.Services {
//		fmt.Println(s.ID, s.State, s.Active)
//	}
//
// An error that a server reported comes back with its [errs.Kind], its hint and
// its mark of unknown effect, as if the call had been made in process.
package apiv1

import "time"

// Milliseconds gives d as the documents write a duration: in milliseconds, to
// the microsecond.
func Milliseconds(d time.Duration) float64 {
	return float64(d.Microseconds()) / 1000
}
