package replica

import (
	"slices"
	"sync"
	"time"
)

// dirtyMost bounds the keys remembered for a member; beyond it a full repair
// finds them.
const dirtyMost = 100_000

// dirty remembers which keys which members are behind on, as far as this
// process saw it. It makes catching up quick; that it is complete is nowhere
// relied upon.
type dirty struct {
	mu    sync.Mutex
	byID  map[string]map[string]time.Time // member, key: since
	spilt map[string]bool                 // members with more than dirtyMost
}

func newDirty() *dirty {
	return &dirty{byID: map[string]map[string]time.Time{}, spilt: map[string]bool{}}
}

func (d *dirty) add(key, id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	keys := d.byID[id]
	if keys == nil {
		keys = map[string]time.Time{}
		d.byID[id] = keys
	}
	if _, known := keys[key]; known {
		return
	}
	if len(keys) >= dirtyMost {
		d.spilt[id] = true
		return
	}
	keys[key] = time.Now()
}

func (d *dirty) addUnless(have []string, key, id string) {
	if !slices.Contains(have, id) {
		d.add(key, id)
	}
}

// behind gives how many keys the member is known to be behind on, since when
// the oldest, and whether there are more that were not remembered.
func (d *dirty) behind(id string) (keys int, oldest time.Time, more bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, at := range d.byID[id] {
		if oldest.IsZero() || at.Before(oldest) {
			oldest = at
		}
	}
	return len(d.byID[id]), oldest, d.spilt[id]
}

// some gives at most n keys that the member is behind on.
func (d *dirty) some(id string, n int) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var keys []string
	for k := range d.byID[id] {
		if len(keys) == n {
			break
		}
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// repaired says that a full repair of the member has ended which began at.
func (d *dirty) repaired(id string, began time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.spilt, id)
	for k, at := range d.byID[id] {
		if at.Before(began) {
			delete(d.byID[id], k)
		}
	}
}
