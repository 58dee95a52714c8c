package replica

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

const adoptKey = "sys/adopt"

// adoption is how far the adoption of a source has come, as the members
// remember it. Each record is true of itself: all keys up to After were gone
// through in its pass. So the furthest one counts, whoever wrote it.
type adoption struct {
	Source  string    `json:"source"`
	Epoch   int       `json:"epoch"` // of sys/config when it was begun
	Pass    int       `json:"pass"`
	After   string    `json:"after"`
	Open    int       `json:"open"`    // keys of this pass that were new, or failed: another pass must follow
	Keys    int       `json:"keys"`    // gone through in this pass
	Adopted int       `json:"adopted"` // in all
	Total   int       `json:"total"`   // keys of the pass before
	Started time.Time `json:"started"` // by the source's clock
}

// further orders records of one adoption.
func (r adoption) further(than adoption) bool {
	return cmp.Or(cmp.Compare(r.Pass, than.Pass), strings.Compare(r.After, than.After)) > 0
}

func (r adoption) same(as adoption) bool { return r.Source == as.Source && r.Epoch == as.Epoch }

// begin finds out where the adoption stands.
func (a *adopting) begin(ctx context.Context, epoch int) error {
	started, err := a.b.clock(ctx, a.from)
	if err != nil {
		return err
	}
	a.record = adoption{Source: a.from.ID, Epoch: epoch, Pass: 1, Started: started}
	a.saved = time.Now()
	if a.o.Prefix == "" {
		for _, r := range a.b.adoptions(ctx) {
			if r.err == nil && r.adoption.same(a.record) && r.adoption.further(a.record) {
				a.record = r.adoption
			}
		}
	}
	a.repair.mu.Lock()
	defer a.repair.mu.Unlock()
	a.p.Pass, a.p.Total, a.p.Keys, a.p.At = a.record.Pass, a.record.Total, a.record.Keys, a.record.After
	return nil
}

// next begins another pass from the start.
func (a *adopting) next(ctx context.Context, keys int) {
	a.mu.Lock()
	a.record.Pass++
	a.record.After, a.record.Open, a.record.Keys, a.record.Total = "", 0, 0, keys
	pass := a.record.Pass
	a.mu.Unlock()
	a.save(ctx)
	a.repair.mu.Lock()
	defer a.repair.mu.Unlock()
	a.p.Pass, a.p.Total, a.p.Keys, a.p.At = pass, keys, 0, ""
}

// remembered is what a member has in sys/adopt.
type remembered struct {
	m        *member
	adoption adoption
	tag      string
	err      error
}

func (b *Bucket) adoptions(ctx context.Context) []remembered {
	all := make([]remembered, len(b.members))
	b.each(b.members, func(i int, m *member) {
		ctx, cancel := context.WithTimeout(ctx, b.o.Timing.Attempt)
		defer cancel()
		v := remembered{m: m}
		data, tag, err := load(ctx, m.Heads, adoptKey, maxConfig)
		switch {
		case errs.Is(err, errs.NotFound):
		case err != nil:
			v.err = err
		default:
			v.tag = tag
			_ = json.Unmarshal(data, &v.adoption) // what cannot be read is of no adoption, and is overwritten
		}
		all[i] = v
	})
	return all
}

// save writes the record to the members whose own is not further. It is a
// memory only: what does not get written is gone through again.
func (a *adopting) save(ctx context.Context) {
	if a.o.Prefix != "" {
		return
	}
	a.mu.Lock()
	record := a.record
	a.mu.Unlock()
	data, err := json.Marshal(record)
	if err != nil {
		return // it has numbers and names only
	}
	own, cancel := a.b.own(ctx, a.b.o.Timing.Quorum) // also when ctx has just ended
	defer cancel()
	all := a.b.adoptions(own)
	a.b.each(a.b.members, func(i int, m *member) {
		v := all[i]
		if v.err != nil || v.adoption.same(record) && !record.further(v.adoption) {
			return
		}
		ctx, cancel := context.WithTimeout(own, a.b.o.Timing.Attempt)
		defer cancel()
		_, err := m.Heads.Put(ctx, adoptKey, bytes.NewReader(data), int64(len(data)), blob.PutOptions{
			Header: blob.Header{Type: "application/json"}, If: blob.Condition{Match: v.tag, Absent: v.tag == ""},
		})
		if err != nil && !errs.Is(err, errs.Conflict) {
			a.b.log.Debug("how far the adoption came is not remembered", "bucket", a.b.o.Name, "site", m.ID, "err", err)
		}
	})
}

// finishAdoption says in the members' records that the source has no objects
// without heads any more. A majority must take it; the others get it by Repair.
// Until a running gateway opens the bucket anew it asks the source where there
// is no head: that costs a read, and finds nothing.
func (b *Bucket) finishAdoption(ctx context.Context, source string) error {
	for range 4 {
		all := b.configs(ctx)
		newest, definite := b.newest(all)
		if newest == nil || definite < b.majority() {
			return b.noMajority("asked who they are", append(failures(all), errAmnesic))
		}
		next := *newest
		if next.Adopt == source {
			next.Adopt, next.Adopted = "", source
			next.Epoch++
		}
		took := 0
		var failed []error
		for _, r := range all {
			switch {
			case r.err != nil:
				failed = append(failed, r.err)
				continue
			case r.config == nil:
				failed = append(failed, errAmnesic)
				continue
			case r.config.Epoch < next.Epoch:
				if err := b.writeConfig(ctx, r.m, next, r.tag); err != nil {
					failed = append(failed, err)
					continue
				}
			}
			took++
		}
		if took >= b.majority() {
			b.log.Info("all objects are adopted", "bucket", b.o.Name, "from", source, "epoch", next.Epoch)
			return nil
		}
		if !slices.ContainsFunc(failed, func(err error) bool { return errs.Is(err, errs.Conflict) }) {
			return b.noMajority("told that all objects are adopted", failed)
		}
	}
	return errs.E(errs.Unavailable, "bucket %s: its record changes too fast", b.o.Name)
}
