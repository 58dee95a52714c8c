// Package proof judges a demo from outside. It takes what was observed, by the
// kernel, the victims, the ledgers, the order logs, the folders and Spare's API, and says
// whether Spare kept its promises, and whether the faults happened at all.
//
// It is pure: [Evidence] goes in, a [Report] comes out, and a demo has
// succeeded only when Report.Broken is empty. What could not be observed counts
// as broken, never as fine.
//
//	r := proof.Judge(evidence)
//	if !r.OK {
//		fmt.Println(r.Broken)
//	}
package proof

import (
	"time"

	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/demo/load"
	"github.com/sparecloud/spare/internal/demo/objectload"
	"github.com/sparecloud/spare/internal/demo/shop"
)

// Kind is what was done on purpose.
type Kind string

// The kinds. Every demo has each of them once.
const (
	Kill        Kind = "kill"         // SIGKILL to the process group of the cloud that serves
	Stop        Kind = "stop"         // SIGSTOP to the process group of the cloud that serves
	KillControl Kind = "kill_control" // SIGKILL to Spare's control process
)

// Kinds are all of them, in the order of the story.
func Kinds() []Kind { return []Kind{Kill, Stop, KillControl} }

// Fault is one of them, with all that shows that it happened.
type Fault struct {
	Kind  Kind      `json:"kind"`
	Site  string    `json:"site,omitempty"` // the cloud; none for KillControl
	At    time.Time `json:"at"`             // right before the signal
	Sure  time.Time `json:"sure,omitzero"`  // when the kernel said that it had its effect
	Until time.Time `json:"until,omitzero"` // right before it was undone
	Proof Proof     `json:"proof"`
}

// Proof holds raw observations of one fault. What stays zero was not observed.
type Proof struct {
	PID    int    `json:"pid"`              // that got the signal
	Signal int    `json:"signal,omitempty"` // that ended the process, from its wait status
	States string `json:"states,omitempty"` // of all processes of a frozen group, as in /proc: at the beginning and at the end
	// ServedBefore are two readings of the victim's own counter of requests,
	// 300 ms apart.
	ServedBefore []uint64 `json:"served_before,omitempty"`
	CounterAfter Reply    `json:"counter_after,omitempty"` // reading it once more during the fault
	ConnectAfter Reply    `json:"connect_after,omitempty"` // asking the victim for a page, past Spare
	BucketBefore Reply    `json:"bucket_before,omitempty"` // asking the victim's bucket, past Spare, right before
	BucketAfter  Reply    `json:"bucket_after,omitempty"`  // and during the fault
	// Requests in the ledger: of the last second before the fault; then of those
	// that were due during the fault what the victim answered, and in its first
	// two seconds what others did.
	VictimBefore int `json:"victim_before"`
	AllBefore    int `json:"all_before"`
	VictimAfter  int `json:"victim_after"`
	OthersAfter  int `json:"others_after"`
	AllAfter     int `json:"all_after"`
	// Operations on objects that began and succeeded while the fault lasted.
	Written int `json:"written"` // puts
	Read    int `json:"read"`    // gets
	// Incident is the one that Spare opened for it.
	Incident string `json:"incident,omitempty"`
	// Of KillControl: the process that took the killed one's place, and when
	// Spare's own document of its state was made anew.
	Gone      bool      `json:"gone,omitempty"`
	Successor int       `json:"successor,omitempty"`
	StatusAt  time.Time `json:"status_at,omitzero"`
}

// Reply is what came of asking a victim directly. The zero value is that
// nobody asked.
type Reply string

// The replies.
const (
	Answered Reply = "answered"
	Refused  Reply = "refused"   // the connection was refused or reset
	NoAnswer Reply = "no answer" // it hung
)

// Finding is what came of asking for an order, through Spare, when all was
// over. The zero value is that nobody could say.
type Finding string

// The findings.
const (
	Found  Finding = "found"  // as it was ordered
	Absent Finding = "absent" // all clouds say that there is no such order
	Other  Finding = "other"  // another order under this id
)

// Evidence is all that was observed of one demo.
type Evidence struct {
	Seed        uint64
	Version     string
	Began       time.Time
	Ended       time.Time
	LoadBegan   time.Time
	LoadEnded   time.Time
	Rate        int           // requests a second that were to be sent
	RTO         time.Duration // the objective that the estate declares
	Faults      []Fault
	Entries     []load.Entry             // the ledger, in the order of N
	Logs        map[string][]shop.Record // by cloud, read from its folder
	Lookups     map[string]Finding       // by order id
	Incidents   []apiv1.Incident
	Interrupted []string // steps of the story that could not be done
	Archive     Archive
}

// Archive is what was observed of the bucket.
type Archive struct {
	Rate    int                // operations a second that were to be done, but for receipts
	Entries []objectload.Entry // the ledger, in the order of N
	// Final holds a read of every key in the ledger and a list of all keys,
	// through Spare, when all was over.
	Final []objectload.Entry
	// Disks gives, by cloud and key, the SHA-256 of bytes that were found in the
	// cloud's folder, looked at as files.
	Disks map[string]map[string]string
	// Requests to the clouds' buckets that Spare counted, when the loads began and
	// when they had ended and all replicas had caught up.
	RequestsBefore, RequestsAfter uint64
}
