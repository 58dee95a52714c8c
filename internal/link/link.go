// Package link joins the data processes of one machine to its control process
// over a unix socket. Immutable tables go down, evidence comes up, and neither
// side ever waits for the other: every read and write has a deadline, and a
// peer that is silent for 3 s is gone.
//
// The control process owns a [Hub], each data process a [Client]:
//
//	hub, err := link.Listen(path, link.HubOptions{Log: log, OnEvents: record})
//	hub.Publish(table)          // the latest goes to every present and later peer
//	err = hub.Run(ctx)
//
//	c := link.NewClient(path, link.ClientOptions{Log: log, OnTable: apply, ...})
//	c.Report(event)             // never blocks; kept until acknowledged
//	err = c.Run(ctx)
//
// # Protocol, version 1
//
// A frame is a big-endian 4-byte length and that many bytes of JSON, at most
// 64 MiB. The JSON is an object with at most one known field; one without any
// is a heartbeat, so that a field which only a newer version knows is harmless.
//
//	data -> control                     control -> data
//	hello  first frame                  welcome  answers hello; with an error the session is over
//	events one batch at a time          ack      of the last sequence number of a batch
//	traffic every 250 ms, the latest    table    the latest only
//	                                    {}       every 500 ms when there is nothing else
//
// Delivery of events is at least once and in order: a client keeps what is not
// acknowledged and sends it again after a reconnect. Source and sequence number
// name an event. Tables and traffic are states, not histories: only the latest
// counts and nothing is queued.
package link

import (
	"encoding/json"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/health"
	"github.com/sparecloud/spare/internal/route"
)

// Version is the protocol's version. Both sides must speak the same one.
const Version = 1

// MaxPath is the longest socket path that Linux takes, in bytes.
const MaxPath = 107

// Hello is the first thing that a data process says of itself.
type Hello struct {
	Version     int    `json:"version"`
	Incarnation string `json:"incarnation"` // one life of one data process; unique
	PID         int    `json:"pid"`
	Epoch       uint64 `json:"epoch"`  // of the table in force, 0 = none
	Binary      string `json:"binary"` // version of the program, for people
}

// welcome is the control process's answer to a hello.
type welcome struct {
	Version int    `json:"version"`
	PID     int    `json:"pid"`
	Error   string `json:"error,omitempty"` // why there will be no session
}

type eventBatch struct {
	Events []health.Event `json:"events"`
	Lost   uint64         `json:"lost,omitempty"` // dropped since the process began, as its ring was full
}

type trafficReport struct {
	At       time.Time        `json:"at"`
	Epoch    uint64           `json:"epoch"`
	Services []health.Traffic `json:"services"`
	Buckets  []health.Bucket  `json:"buckets,omitempty"`
}

type ack struct {
	Seq uint64 `json:"seq"`
}

// message is what a frame holds: at most one of its fields.
type message struct {
	Hello   *Hello         `json:"hello,omitempty"`
	Welcome *welcome       `json:"welcome,omitempty"`
	Events  *eventBatch    `json:"events,omitempty"`
	Traffic *trafficReport `json:"traffic,omitempty"`
	Table   *route.Table   `json:"table,omitempty"`
	Ack     *ack           `json:"ack,omitempty"`
}

const (
	silence         = 3 * time.Second        // without a frame for so long, the other side is gone
	beatInterval    = 500 * time.Millisecond // of the hub
	trafficInterval = 250 * time.Millisecond // of the client; also its heartbeat
)

// CheckPath says whether a unix socket can have the path. Invalid: it is too
// long for the kernel.
func CheckPath(path string) error {
	if len(path) > MaxPath {
		err := errs.E(errs.Invalid, "socket path %s has %d bytes, and the kernel takes %d", path, len(path), MaxPath)
		return errs.WithHint(err, "choose a data folder with a shorter path")
	}
	return nil
}

func encode(m message) ([]byte, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return nil, errs.Wrap(errs.Internal, err, "encode frame")
	}
	if len(b) > maxFrame {
		return nil, errs.E(errs.Invalid, "frame of %d bytes is over the limit of %d", len(b), maxFrame)
	}
	return b, nil
}

func decode(b []byte) (message, error) {
	var m message
	if err := json.Unmarshal(b, &m); err != nil {
		return message{}, errs.Wrap(errs.Invalid, err, "decode frame")
	}
	return m, nil
}
