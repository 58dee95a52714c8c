package replica

import (
	"container/list"
	"sync"
	"time"
)

// headCacheSize bounds how many keys' heads are kept in memory; one takes about
// 1 KiB.
const headCacheSize = 16 << 10

// A headCache remembers heads. That a member's tag stood for a head stays true
// for good, so listings may use it at any level; that a head was the newest is
// true of a moment, which the level bounded alone makes use of.
type headCache struct {
	mu    sync.Mutex
	most  int
	byKey map[string]*list.Element
	order *list.List // of *cached, the one used last at the front
}

type cached struct {
	key  string
	tags []tagged // by member
	now  *head    // what a settled read gave; nil with a time: there is none
	at   time.Time
}

type tagged struct {
	tag  string
	head *head
}

func newHeadCache(most int) *headCache {
	return &headCache{most: most, byKey: map[string]*list.Element{}, order: list.New()}
}

// entry gives the key's entry, made if it is missing. c.mu is held.
func (c *headCache) entry(key string) *cached {
	if e, ok := c.byKey[key]; ok {
		c.order.MoveToFront(e)
		return e.Value.(*cached)
	}
	if c.order.Len() >= c.most {
		last := c.order.Back()
		delete(c.byKey, last.Value.(*cached).key)
		c.order.Remove(last)
	}
	e := &cached{key: key}
	c.byKey[key] = c.order.PushFront(e)
	return e
}

// saw notes that the member's register of key held h under the tag.
func (c *headCache) saw(m *member, key, tag string, h *head) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entry(key)
	for len(e.tags) <= m.index {
		e.tags = append(e.tags, tagged{})
	}
	e.tags[m.index] = tagged{tag, h}
}

// known gives the head that the member's tag of key stands for, if it was seen.
func (c *headCache) known(m *member, key, tag string) (*head, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byKey[key]
	if !ok {
		return nil, false
	}
	tags := e.Value.(*cached).tags
	if m.index >= len(tags) || tags[m.index].head == nil || tags[m.index].tag != tag {
		return nil, false
	}
	c.order.MoveToFront(e)
	return tags[m.index].head, true
}

// settled notes what a read of key returned just now.
func (c *headCache) settled(key string, h *head) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entry(key)
	if e.now.newer(h) {
		return
	}
	e.now, e.at = h, time.Now()
}

// fresh gives what a read of key returned at most age ago.
func (c *headCache) fresh(key string, age time.Duration) (*head, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e, ok := c.byKey[key]
	if !ok {
		return nil, false
	}
	v := e.Value.(*cached)
	if v.at.IsZero() || time.Since(v.at) > age {
		return nil, false
	}
	return v.now, true
}

// forget drops what reads of key returned.
func (c *headCache) forget(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e, ok := c.byKey[key]; ok {
		e.Value.(*cached).at = time.Time{}
	}
}
