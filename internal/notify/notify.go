// Package notify tells people outside of Spare what happened. A [Notice] is
// what is told; the [Outbox] keeps notices in the state store until a
// [Sender], such as a webhook, has delivered them or they are a day old.
//
//	box := notify.NewOutbox(notify.Options{Store: st, Journal: j, Sender: hook, Log: log})
//	go box.Run(ctx)
//	err := box.Add(ctx, notice) // nil: it survives a crash from here on
package notify

import (
	"context"
	"encoding/json"
	"time"
)

// The events that are told.
const (
	IncidentOpened = "incident.opened"
	IncidentClosed = "incident.closed"
)

// Version is the version of the notice's JSON document. It grows only when a
// receiver of the old document would misunderstand the new one.
const Version = 1

// Notice is one thing to tell. Its JSON is the document that receivers get.
type Notice struct {
	Version  int             `json:"version"`
	Event    string          `json:"event"`
	ID       string          `json:"id"`          // the same for every attempt to deliver it
	Subject  string          `json:"incident_id"` // notices about one incident are delivered in order
	At       time.Time       `json:"at"`          // UTC
	Incident json.RawMessage `json:"incident"`    // the incident as it was then
}

// Sender delivers a notice. It makes one attempt, and returns nil only if the
// receiver has accepted it. An error of kind errs.Invalid is final: the
// receiver will never accept this notice. After any other the outbox tries
// again. Messages hold no secrets.
type Sender interface {
	Send(ctx context.Context, n Notice) error
}
