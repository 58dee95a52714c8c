package replica

import (
	"strings"
	"sync/atomic"
	"time"

	"github.com/sparecloud/spare/internal/blob"
)

// Stats counts what a bucket does. All of it may be read while it works.
type Stats struct {
	noQuorum   atomic.Uint64
	writeBacks atomic.Uint64
	settled    atomic.Uint64
	refused    atomic.Uint64
	thin       atomic.Uint64
	hedges     atomic.Uint64
	switches   atomic.Uint64
	corrupt    atomic.Uint64
	repaired   atomic.Uint64
}

// exposed counts an acknowledged write whose body is at fewer members than it
// shall be.
func (s *Stats) exposed(have, want int) {
	if have < want {
		s.thin.Add(1)
	}
}

// Counts is a moment of a bucket's counters.
type Counts struct {
	NoQuorum   uint64 `json:"noQuorum"`   // operations that no majority answered
	WriteBacks uint64 `json:"writeBacks"` // reads that had to complete another's write
	Settled    uint64 `json:"settled"`    // writes that failed at first and were found to have happened
	Refused    uint64 `json:"refused"`    // writes refused because too few members took the body
	Thin       uint64 `json:"thin"`       // writes acknowledged before all members had the body
	Hedges     uint64 `json:"hedges"`     // bodies asked for at another member because the first was slow
	Switches   uint64 `json:"switches"`   // bodies continued from another member in mid-stream
	Corrupt    uint64 `json:"corrupt"`    // bodies that did not match their checksum
	Repaired   uint64 `json:"repaired"`   // keys repaired
}

// Status is the state of a bucket as this process sees it.
type Status struct {
	Name    string         `json:"name"`
	Level   Level          `json:"level"`
	Epoch   int            `json:"epoch"`
	Adopt   string         `json:"adopt,omitempty"` // member that is being adopted
	Writes  bool           `json:"writes"`          // enough members take objects
	Reads   bool           `json:"reads"`           // a majority answers
	Members []MemberStatus `json:"members"`
	Counts  Counts         `json:"counts"`
}

// MemberStatus is the state of one member.
type MemberStatus struct {
	ID      string        `json:"id"`
	Witness bool          `json:"witness,omitempty"`
	Where   string        `json:"where"`
	Heads   bool          `json:"heads"`             // its register answers
	Bodies  bool          `json:"bodies"`            // it takes and gives objects
	Amnesic bool          `json:"amnesic,omitempty"` // it lost what it held and is not counted
	Since   time.Time     `json:"since,omitzero"`    // of the first failure in the present row
	Reason  string        `json:"reason,omitempty"`  // what its calls fail with
	Latency time.Duration `json:"latency"`           // smoothed, of small requests; nanoseconds
	Behind  int           `json:"behind"`            // keys it is known to lack something of
	More    bool          `json:"more,omitempty"`    // and others that were not remembered
	Oldest  time.Time     `json:"oldest,omitzero"`   // since when the first of them

	Requests     uint64 `json:"requests"` // to the provider, since the bucket was opened
	Failed       uint64 `json:"failed"`   // of those, by the provider
	BytesRead    uint64 `json:"bytesRead"`
	BytesWritten uint64 `json:"bytesWritten"`
}

// Status gives the bucket's state.
func (b *Bucket) Status() Status {
	s := Status{Name: b.o.Name, Level: b.o.Level, Epoch: b.config.Epoch, Adopt: b.o.Adopt, Counts: b.counts()}
	heads, bodies := 0, 0
	for _, m := range b.members {
		v := m.status()
		v.Behind, v.Oldest, v.More = b.dirty.behind(m.ID)
		if v.Heads && !v.Amnesic {
			heads++
		}
		if v.Bodies {
			bodies++
		}
		s.Members = append(s.Members, v)
	}
	s.Reads = heads >= b.majority()
	s.Writes = s.Reads && bodies >= b.bodies()
	return s
}

func (m *member) status() MemberStatus {
	v := MemberStatus{
		ID: m.ID, Witness: m.Body == nil, Where: m.HeadsWhere,
		Heads: m.head.up(), Amnesic: m.amnesic.Load(),
	}
	v.Bodies = m.Body != nil && m.body.up() && v.Heads
	if m.Body != nil {
		v.Where = m.Where
	}
	if err := m.lastError(); err != nil {
		v.Reason = strings.TrimPrefix(err.Error(), m.ID+": ")
	}
	m.head.mu.Lock()
	v.Latency = m.head.latency
	if m.head.fails > 0 {
		v.Since = m.head.since
	}
	m.head.mu.Unlock()
	m.body.mu.Lock()
	if m.body.fails > 0 && (v.Since.IsZero() || m.body.since.Before(v.Since)) {
		v.Since = m.body.since
	}
	m.body.mu.Unlock()
	v.count(m.Heads.Stats())
	if m.Body != nil && m.Body.Stats() != m.Heads.Stats() {
		v.count(m.Body.Stats())
	}
	return v
}

func (v *MemberStatus) count(s *blob.Stats) {
	s.Calls(func(_ string, calls, failed uint64) {
		v.Requests += calls
		v.Failed += failed
	})
	v.BytesRead += s.BytesRead.Load()
	v.BytesWritten += s.BytesWritten.Load()
}

func (b *Bucket) counts() Counts {
	s := &b.stats
	return Counts{
		NoQuorum: s.noQuorum.Load(), WriteBacks: s.writeBacks.Load(), Settled: s.settled.Load(), Refused: s.refused.Load(),
		Thin: s.thin.Load(), Hedges: s.hedges.Load(), Switches: s.switches.Load(), Corrupt: s.corrupt.Load(), Repaired: s.repaired.Load(),
	}
}
