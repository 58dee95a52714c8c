package replica

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// Config is what a bucket's members know of the bucket, under sys/config in the
// head bucket of each. It is the truth about who they are; the user's file must
// agree with it.
type Config struct {
	Version int    `json:"version"`
	Bucket  string `json:"bucket"`
	Epoch   int    `json:"epoch"` // rises with every change
	// Ready: all members hold this record, so that the bucket may be used. A
	// member without it has lost it since.
	Ready   bool           `json:"ready"`
	Mode    string         `json:"mode"` // "abd"
	Members []ConfigMember `json:"members"`
	// Adopt is the member whose plain keys hold objects without heads yet, and
	// Adopted one whose all have been given theirs.
	Adopt   string `json:"adopt,omitempty"`
	Adopted string `json:"adopted,omitempty"`
	Secret  string `json:"secret"` // hex; authenticates upload ids. Whoever reads it may read the bucket anyway
}

// ConfigMember is a member as the record knows it.
type ConfigMember struct {
	ID    string `json:"id"`
	Body  string `json:"body,omitempty"` // "" = witness
	Heads string `json:"heads"`
}

const (
	configKey     = "sys/config"
	configVersion = 1
	modeABD       = "abd"
	maxConfig     = 64 << 10
)

// declared gives the record that the options stand for.
func (o *Options) declared() Config {
	c := Config{Version: configVersion, Bucket: o.Name, Epoch: 1, Mode: modeABD, Adopt: o.Adopt}
	for _, m := range o.Members {
		v := ConfigMember{ID: m.ID, Heads: m.HeadsWhere}
		if m.Body != nil {
			v.Body = m.Where
		}
		c.Members = append(c.Members, v)
	}
	return c
}

// record is a member's sys/config.
type record struct {
	m      *member
	config *Config // nil: there is none
	tag    string
	err    error
}

func (b *Bucket) readConfig(ctx context.Context, m *member) record {
	ctx, cancel := context.WithTimeout(ctx, b.o.Timing.Attempt)
	defer cancel()
	data, tag, err := load(ctx, m.Heads, configKey, maxConfig)
	if errs.Is(err, errs.NotFound) {
		return record{m: m}
	}
	if err != nil {
		return record{m: m, err: err}
	}
	c := new(Config)
	if err := json.Unmarshal(data, c); err != nil {
		return record{m: m, err: errs.Wrap(errs.Unavailable, blob.ErrSuspect, "%s: %s cannot be read: %v", m.ID, configKey, err)}
	}
	if c.Version != configVersion {
		return record{m: m, err: errs.E(errs.Unsupported, "%s: %s has version %d, this program knows %d", m.ID, configKey, c.Version, configVersion)}
	}
	return record{m: m, config: c, tag: tag}
}

func (b *Bucket) writeConfig(ctx context.Context, m *member, c Config, tag string) error {
	data, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return errs.Wrap(errs.Internal, err, "encode %s", configKey)
	}
	cond := blob.Condition{Match: tag, Absent: tag == ""}
	ctx, cancel := context.WithTimeout(ctx, b.o.Timing.Attempt)
	defer cancel()
	_, err = m.Heads.Put(ctx, configKey, bytes.NewReader(data), int64(len(data)), blob.PutOptions{Header: blob.Header{Type: "application/json"}, If: cond})
	return err
}

// configs reads every member's record.
func (b *Bucket) configs(ctx context.Context) []record {
	all := make([]record, len(b.members))
	answers := make(chan record, len(b.members))
	for _, m := range b.members {
		b.wgGo(func() { answers <- b.readConfig(ctx, m) })
	}
	for range b.members {
		r := <-answers
		all[r.m.index] = r
	}
	return all
}

// agree makes sure that the members' record is what the options declare.
func (b *Bucket) agree(ctx context.Context) error {
	all := b.configs(ctx)
	newest, definite := b.newest(all)
	if newest == nil && definite < len(all) && missing(all) {
		if err := b.makeAll(ctx, all); err != nil {
			return err
		}
		all = b.configs(ctx)
		newest, definite = b.newest(all)
	}
	if definite < b.majority() {
		return b.noMajority("asked who they are", failures(all))
	}
	want := b.o.declared()
	if newest != nil {
		if err := compare(want, *newest); err != nil {
			return err
		}
		if newest.Ready {
			b.take(*newest, all)
			return nil
		}
		want = *newest // somebody began and did not finish
	}
	return b.found(ctx, want, all)
}

// Check compares the options with the members' own record, as [Open] does, and
// writes nothing. A bucket that is new, or whose members do not answer, passes.
func Check(ctx context.Context, o Options) error {
	b, err := assemble(o)
	if err != nil {
		return err
	}
	defer func() { _ = b.Close() }()
	newest, _ := b.newest(b.configs(ctx))
	if newest == nil {
		return nil
	}
	return compare(b.o.declared(), *newest)
}

func (b *Bucket) newest(all []record) (newest *Config, definite int) {
	for _, r := range all {
		if r.err != nil {
			continue
		}
		definite++
		if c := r.config; c != nil && (newest == nil || c.Epoch > newest.Epoch || c.Epoch == newest.Epoch && c.Ready && !newest.Ready) {
			newest = c
		}
	}
	return newest, definite
}

// missing says whether nothing but missing head buckets keeps a new bucket from
// being founded.
func missing(all []record) bool {
	return !slices.ContainsFunc(all, func(r record) bool { return r.err != nil && !errors.Is(r.err, blob.ErrNoBucket) })
}

// makeAll makes what a new bucket lacks. It is never done for one that some
// member knows: there a bucket that is missing was lost, or is a disk that is
// not mounted.
func (b *Bucket) makeAll(ctx context.Context, all []record) error {
	for _, r := range all {
		if r.err == nil {
			continue
		}
		if err := r.m.Heads.Make(ctx); err != nil {
			return errs.Wrap(errs.KindOf(err), err, "bucket %s: make %s", b.o.Name, r.m.HeadsWhere)
		}
	}
	for _, m := range b.data {
		_, err := m.Body.List(ctx, blob.ListOptions{Limit: 1})
		if !errors.Is(err, blob.ErrNoBucket) {
			continue // other faults are told by what needs it
		}
		if m.MakeBody {
			err = m.Body.Make(ctx)
		}
		if err != nil {
			return errs.WithHint(errs.Wrap(errs.KindOf(err), err, "bucket %s at %s", b.o.Name, m.ID), "make %s first", m.Where)
		}
	}
	return nil
}

func failures(all []record) (failed []error) {
	for _, r := range all {
		if r.err != nil {
			failed = append(failed, r.err)
		}
	}
	return failed
}

// take adopts the record, and notes the members that have lost theirs.
func (b *Bucket) take(c Config, all []record) {
	b.config = c
	b.o.Adopt = c.Adopt
	for _, r := range all {
		if r.err == nil && r.config == nil {
			b.loses(r.m)
		}
	}
}

// loses notes that a member has lost what it held.
func (b *Bucket) loses(m *member) {
	if !m.amnesic.Swap(true) {
		b.log.Error("a member lost what it held: it is not counted until it is repaired",
			"bucket", b.o.Name, "site", m.ID, "where", m.HeadsWhere, "remedy", "spare bucket repair "+b.o.Name)
	}
}

// found writes the record of a new bucket: to all members first, and only then
// it says that it is ready. Whoever comes first at the first member decides for
// all.
func (b *Bucket) found(ctx context.Context, want Config, all []record) error {
	if failed := failures(all); len(failed) > 0 {
		return errs.Wrap(errs.Unavailable, errors.Join(failed...), "bucket %s is new: all its members must answer once", b.o.Name)
	}
	if want.Secret == "" {
		raw := make([]byte, 32)
		rand.Read(raw) // never fails
		want.Secret = hex.EncodeToString(raw)
	}
	for _, ready := range []bool{false, true} {
		want.Ready = ready
		for i, m := range b.members {
			r := all[i]
			if r.config != nil && (r.config.Ready || !ready) {
				continue
			}
			if err := b.writeConfig(ctx, m, want, r.tag); err != nil && !errs.Is(err, errs.Conflict) {
				return errs.Wrap(errs.KindOf(err), err, "found bucket %s", b.o.Name)
			}
			if all[i] = b.readConfig(ctx, m); all[i].err != nil || all[i].config == nil {
				return errs.Wrap(errs.Unavailable, blob.ErrSuspect, "%s does not give %s, which was just written", m.ID, configKey)
			}
			// Another may have come first: its record counts, if it is the same bucket.
			got := *all[i].config
			if err := compare(want, got); err != nil {
				return err
			}
			if got.Secret != want.Secret && i > 0 {
				return errs.E(errs.Conflict, "bucket %s: %s was founded as another bucket", b.o.Name, m.ID)
			}
			want.Secret = got.Secret
		}
	}
	b.take(want, all)
	return nil
}

// compare says where what the file declares differs from the members' record.
func compare(file, record Config) error {
	var diffs []string
	if file.Bucket != record.Bucket {
		diffs = append(diffs, fmt.Sprintf("it is bucket %q there", record.Bucket))
	}
	if file.Mode != record.Mode {
		diffs = append(diffs, fmt.Sprintf("its mode is %q there and %q in the file", record.Mode, file.Mode))
	}
	if file.Adopt != "" && file.Adopt != record.Adopt && file.Adopt != record.Adopted {
		diffs = append(diffs, fmt.Sprintf("the file adopts %s, which the record does not know", file.Adopt))
	}
	theirs := map[string]ConfigMember{}
	for _, m := range record.Members {
		theirs[m.ID] = m
	}
	for _, m := range file.Members {
		t, known := theirs[m.ID]
		delete(theirs, m.ID)
		switch {
		case !known:
			diffs = append(diffs, fmt.Sprintf("%s is in the file and not in the record", m.ID))
		case t.Heads != m.Heads:
			diffs = append(diffs, fmt.Sprintf("heads of %s are at %s, in the file at %s", m.ID, t.Heads, m.Heads))
		case t.Body != m.Body:
			diffs = append(diffs, fmt.Sprintf("objects of %s are at %s, in the file at %s", m.ID, cmp.Or(t.Body, "none (a witness)"), cmp.Or(m.Body, "none (a witness)")))
		}
	}
	for id := range theirs {
		diffs = append(diffs, fmt.Sprintf("%s is in the record and not in the file", id))
	}
	if len(diffs) == 0 {
		return nil
	}
	slices.Sort(diffs)
	return errs.WithHint(errs.E(errs.Conflict, "bucket %s: the file is not what its members know (%s): %s", file.Bucket, configKey, strings.Join(diffs, "; ")),
		"put the file back as it was: the members of a bucket that holds objects are not exchanged by editing the file")
}
