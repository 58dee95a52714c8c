package memblob

import (
	"maps"
	"slices"
)

// Snapshot is all that a bucket held at one moment. It never changes and can
// be restored any number of times.
type Snapshot struct {
	state  state
	serial uint64
}

// Snapshot takes one. It copies no bodies.
func (d *Driver) Snapshot() *Snapshot {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &Snapshot{d.state.clone(), d.serial}
}

// Restore puts the bucket back to a snapshot, of this bucket or another: every
// write since is gone, as after a provider's rollback. Tags and version ids
// that are unique stay so: those given since are not given again.
func (d *Driver) Restore(s *Snapshot) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.state, d.serial = s.state.clone(), max(d.serial, s.serial)
}

// clone copies what changes in place. Versions and the slices of them do not.
func (s state) clone() state {
	c := state{keys: slices.Clone(s.keys), objects: maps.Clone(s.objects), uploads: make(map[string]*upload, len(s.uploads))}
	for id, u := range s.uploads {
		copied := *u
		copied.parts = maps.Clone(u.parts)
		c.uploads[id] = &copied
	}
	return c
}
