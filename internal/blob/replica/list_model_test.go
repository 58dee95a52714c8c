package replica

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sparecloud/spare/internal/blob"
)

// TestListEqualsAModel writes and deletes at random, with a member away now and
// then, and compares listings of all kinds with what was written.
func TestListEqualsAModel(t *testing.T) {
	const rounds = 500
	seed := uint64(time.Now().UnixNano())
	if given := modelSeed; given != 0 {
		seed = given
	}
	for round := range rounds {
		ok := t.Run(fmt.Sprint(round), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := newModel(t, rand.New(rand.NewPCG(seed, uint64(round))))
				for range 4 {
					m.change()
					for range 4 {
						m.compare()
					}
				}
			})
		})
		if !ok {
			t.Fatalf("seed %d, round %d", seed, round)
		}
	}
}

// modelSeed repeats a run that failed, if it is set here.
const modelSeed uint64 = 0

type model struct {
	*trio
	rng  *rand.Rand
	live map[string]bool
	used map[string]bool
}

func newModel(t *testing.T, rng *rand.Rand) *model {
	classes := make([]blob.Class, 3)
	for i := range classes {
		classes[i] = []blob.Class{blob.ClassContent, blob.ClassContent, blob.ClassUnique}[rng.IntN(3)]
	}
	adopting := rng.IntN(4) == 0
	g := newTrio(t, classes, 0, func(o *Options) {
		if adopting {
			o.Adopt = siteNames[rng.IntN(3)]
		}
	})
	m := &model{g, rng, map[string]bool{}, map[string]bool{}}
	if adopting {
		for range 10 {
			key := m.key()
			m.plain(m.b.source().index, key, "adopted")
			m.live[key] = true
		}
	}
	if most := rng.IntN(5); most > 0 {
		g.pages = func() int { return 1 + rng.IntN(most) }
	}
	return m
}

// key draws from few, so that many meet.
func (m *model) key() string {
	parts := []string{"a", "b", "c", "d-", "\U0010FFFF"}
	key := parts[m.rng.IntN(len(parts))]
	for range m.rng.IntN(3) {
		key += []string{"/", "/", "-", ""}[m.rng.IntN(4)] + parts[m.rng.IntN(len(parts))]
	}
	return key
}

// change writes and deletes. The page lengths come from the same generator, so
// nothing may list meanwhile.
func (m *model) change() {
	if m.rng.IntN(2) == 0 {
		m.down(m.rng.IntN(3))
	}
	for range 1 + m.rng.IntN(12) {
		key := m.key()
		if m.rng.IntN(5) < 2 {
			m.put(key, "x")
			m.live[key] = true
			continue
		}
		m.delete(key)
		delete(m.live, key)
	}
	synctest.Wait()
	if m.rng.IntN(2) == 0 {
		m.b.heads = newHeadCache(1 + m.rng.IntN(4))
	}
	m.heal()
}

func (m *model) compare() {
	o := blob.ListOptions{Limit: 1 + m.rng.IntN(5), Delimiter: []string{"", "/", "-", "a"}[m.rng.IntN(4)]}
	if m.rng.IntN(2) == 0 {
		o.Prefix = strings.TrimSuffix(m.key(), "\U0010FFFF")
	}
	if m.rng.IntN(3) == 0 && m.b.o.Adopt == "" {
		m.down(m.rng.IntN(3))
	}
	keys, prefixes := rollUp(slices.Sorted(maps.Keys(m.live)), o)
	m.pagesFromOneAtATime(func() { m.wantList(o, keys, prefixes) })
	m.heal()
}

// pagesFromOneAtATime makes the generator safe for listings that run at once.
func (m *model) pagesFromOneAtATime(f func()) {
	pages := m.pages
	if pages != nil {
		most := pages()
		m.pages = func() int { return most }
	}
	f()
	m.pages = pages
}

// rollUp is what a listing of sorted keys must give.
func rollUp(all []string, o blob.ListOptions) (keys, prefixes []string) {
	for _, key := range all {
		rest, ok := strings.CutPrefix(key, o.Prefix)
		if !ok {
			continue
		}
		first, _, found := strings.Cut(rest, o.Delimiter)
		if o.Delimiter == "" || !found {
			keys = append(keys, key)
			continue
		}
		if p := o.Prefix + first + o.Delimiter; !slices.Contains(prefixes, p) {
			prefixes = append(prefixes, p)
		}
	}
	return keys, prefixes
}
