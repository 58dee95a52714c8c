package failover

import (
	"encoding/json"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
)

const (
	decisionPrefix = "decision/"
	epochKey       = "table/epoch"
	lastKey        = "table/last"
)

// Decision is the committed site of a one_site service's unsafe methods, as
// kept under decision/<service>. Every change of it is a compare-and-swap on
// the record's revision.
type Decision struct {
	Service estate.ServiceID `json:"service"`
	Active  estate.SiteID    `json:"active"`
	// Epoch is the fencing token of the move that led here; every table that
	// carries the move has a higher one. 0 = the service never moved.
	Epoch   uint64    `json:"epoch"`
	At      time.Time `json:"at"`
	Reason  string    `json:"reason,omitempty"`
	Actor   string    `json:"actor"`
	Pending *Intent   `json:"pending,omitempty"`
}

// Intent is a move that was begun. It is written before the fence hook runs,
// so that whoever finds it knows that the old site may be fenced already.
type Intent struct {
	From   estate.SiteID `json:"from"`
	To     estate.SiteID `json:"to"`
	Epoch  uint64        `json:"epoch"` // fencing token, the same in every attempt
	At     time.Time     `json:"at"`    // of the first attempt
	Reason string        `json:"reason"`
	Actor  string        `json:"actor"`
	Auto   bool          `json:"auto"`   // nobody asked for it
	Holder string        `json:"holder"` // controller of the newest attempt
	Token  uint64        `json:"token"`  // its lease
	// Attempts counts runs of the hook. Settled means that the newest one
	// ended with a clear no: nothing was fenced, and the move may be given up.
	// An unsettled intent is always run again.
	Attempts int    `json:"attempts"`
	Settled  bool   `json:"settled"`
	Error    string `json:"error,omitempty"` // of the newest failed attempt
}

func decisionKey(id estate.ServiceID) string { return decisionPrefix + string(id) }

func parseDecision(key string, value []byte) (Decision, error) {
	var d Decision
	if err := json.Unmarshal(value, &d); err != nil {
		return d, errs.Wrap(errs.Internal, err, "read %s", key)
	}
	if decisionKey(d.Service) != key || d.Active == "" {
		return d, errs.E(errs.Internal, "record %s holds no decision about it", key)
	}
	return d, nil
}

// encode is for our own types, which always encode.
func encode(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}
