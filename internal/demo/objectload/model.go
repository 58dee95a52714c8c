package objectload

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/sparecloud/spare/internal/demo/load"
)

// Fault is how a read can contradict what was acknowledged before it.
type Fault string

// The faults.
const (
	Stale       Fault = "stale"       // what is there does not show, or older or foreign bytes do
	Resurrected Fault = "resurrected" // what was deleted, or never acknowledged, shows
)

// Wrong is one contradiction.
type Wrong struct {
	Key   string `json:"key"`
	Fault Fault  `json:"fault"`
}

// Model says what reads must give. It replays a ledger of which the operations
// on each key followed each other: one owner a key, who waits for each answer.
//
// What a read must give is then the last acknowledged write. A write of unknown
// effect may take effect at any time after it was sent, also after later ones,
// because it never ended; so its value is allowed until it was read once and
// written over. A write that failed has no effect, ever.
type Model struct {
	keys map[string]*state
}

// state is what is known of a key.
type state struct {
	is      string   // SHA-256 of what is there; "" = nothing is
	deleted bool     // nothing is there because it was deleted
	maybe   []string // values of writes of unknown effect; "" = of a delete
}

// NewModel gives a model of an empty bucket.
func NewModel() *Model { return &Model{keys: map[string]*state{}} }

func (m *Model) at(key string) *state {
	s := m.keys[key]
	if s == nil {
		s = new(state)
		m.keys[key] = s
	}
	return s
}

// Apply takes in the next operation, and says in what a read or a list
// contradicts those before it.
func (m *Model) Apply(e Entry) []Wrong {
	value := e.SHA256
	if e.Op == Delete || e.Absent {
		value = ""
	}
	switch {
	case e.Op == List:
		return m.listed(e)
	case e.Op == Get && e.Outcome == load.OK:
		return m.read(e.Key, value)
	case e.Op == Get, e.Outcome == load.Failed:
	case e.Outcome == load.MaybeApplied:
		s := m.at(e.Key)
		s.maybe = append(s.maybe, value)
	default:
		s := m.at(e.Key)
		s.is, s.deleted = value, e.Op == Delete
	}
	return nil
}

func (m *Model) read(key, value string) []Wrong {
	s := m.at(key)
	if value == s.is {
		return nil
	}
	if i := slices.Index(s.maybe, value); i >= 0 { // so it did take effect
		s.maybe = slices.Delete(s.maybe, i, i+1)
		s.is, s.deleted = value, value == ""
		return nil
	}
	if s.is == "" {
		return []Wrong{{key, Resurrected}}
	}
	return []Wrong{{key, Stale}}
}

func (m *Model) listed(e Entry) (wrong []Wrong) {
	if e.Outcome != load.OK {
		return nil
	}
	shown := map[string]bool{}
	for _, key := range e.Listed {
		shown[key] = true
		if s := m.keys[key]; s == nil || s.is == "" && !slices.ContainsFunc(s.maybe, func(v string) bool { return v != "" }) {
			wrong = append(wrong, Wrong{key, Resurrected})
		}
	}
	for key, s := range m.keys {
		if strings.HasPrefix(key, e.Key) && !shown[key] && s.is != "" && !slices.Contains(s.maybe, "") {
			wrong = append(wrong, Wrong{key, Stale})
		}
	}
	slices.SortFunc(wrong, func(a, b Wrong) int { return cmp.Compare(a.Key, b.Key) })
	return wrong
}

// Expect is what a key holds by the ledger.
type Expect struct {
	SHA256  string // "" = nothing
	Deleted bool   // nothing, because it was deleted
}

// Keys gives all keys that the ledger names, in order.
func (m *Model) Keys() []string { return slices.Sorted(maps.Keys(m.keys)) }

// Expect says what the key holds.
func (m *Model) Expect(key string) Expect {
	s := m.keys[key]
	if s == nil {
		return Expect{}
	}
	return Expect{s.is, s.deleted}
}

// Replay gives the model after all the entries. They are in the order of N.
func Replay(entries []Entry) *Model {
	m := NewModel()
	for _, e := range entries {
		m.Apply(e)
	}
	return m
}
