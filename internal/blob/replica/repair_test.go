package replica

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/faultblob"
	"github.com/sparecloud/spare/internal/blob/memblob"
	"github.com/sparecloud/spare/internal/errs"
)

// fleet is providers whose faults are at the test's command.
type fleet struct {
	all         []store
	body, heads []*faultblob.Driver
	witnesses   int
}

func newFleet(n, witnesses int) *fleet {
	g := &fleet{all: stores(n), witnesses: witnesses}
	for _, s := range g.all {
		g.body = append(g.body, faultblob.Wrap(s.body))
		g.heads = append(g.heads, faultblob.Wrap(s.heads))
	}
	return g
}

// open opens the bucket over the fleet, as another process would.
func (g *fleet) open(t *testing.T, change ...func(*Options)) *Bucket {
	t.Helper()
	list := members(g.all, g.witnesses)
	for i := range list {
		list[i].Heads = blob.New(siteNames[i], g.heads[i])
		if list[i].Body != nil {
			list[i].Body = blob.New(siteNames[i], g.body[i])
		}
	}
	o := Options{Name: "media", Members: list, Log: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&o)
	}
	b, err := Open(t.Context(), o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// fault injects a fault at both of a member's buckets.
func (g *fleet) fault(t *testing.T, i int, f faultblob.Fault) {
	t.Helper()
	for _, d := range []*faultblob.Driver{g.body[i], g.heads[i]} {
		if _, err := d.Inject(f); err != nil {
			t.Fatal(err)
		}
	}
}

// heal ends all faults and waits for what is applied late.
func (g *fleet) heal(t *testing.T) {
	t.Helper()
	for _, d := range slices.Concat(g.body, g.heads) {
		d.Clear()
		if err := d.Settle(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func mustRepair(t *testing.T, b *Bucket) Progress {
	t.Helper()
	p, err := b.Repair(t.Context(), RepairOptions{})
	if err != nil {
		t.Fatalf("repair: %v (%+v)", err, p)
	}
	return p
}

// names lists all keys of a store under a prefix.
func names(t *testing.T, d *memblob.Driver, prefix string) (all []string) {
	t.Helper()
	for after := ""; ; {
		p, err := d.List(context.Background(), blob.ListOptions{Prefix: prefix, After: after})
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range p.Objects {
			all = append(all, strings.TrimPrefix(o.Key, prefix))
		}
		if after = p.Next; after == "" {
			return all
		}
	}
}

func contents(t *testing.T, d *memblob.Driver, key string) (string, blob.Object) {
	t.Helper()
	r, err := d.Get(context.Background(), key, blob.GetOptions{})
	if err != nil {
		t.Fatalf("get %q: %v", key, err)
	}
	defer func() { _ = r.Close() }()
	data, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(data), r.Object
}

// wantWhole fails unless all members hold the same heads, and every data member
// the body of each live one at its plain key, and nothing else there. It gives
// the live objects.
func (g *fleet) wantWhole(t *testing.T, foreign ...string) map[string]string {
	t.Helper()
	live := map[string]string{}
	keys := names(t, g.all[0].heads, headPrefix)
	for i := range g.all {
		if diff := cmp.Diff(keys, names(t, g.all[i].heads, headPrefix)); diff != "" {
			t.Errorf("heads of %s and %s differ: %s", siteNames[0], siteNames[i], diff)
			return nil
		}
	}
	data := g.all[:len(g.all)-g.witnesses]
	for _, key := range keys {
		raw, _ := contents(t, g.all[0].heads, headPrefix+key)
		h, err := decodeHead(key, []byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		for i := range g.all {
			if other, _ := contents(t, g.all[i].heads, headPrefix+key); other != raw {
				t.Errorf("the heads of %q at %s and %s differ:\n%s%s", key, siteNames[0], siteNames[i], raw, other)
			}
		}
		if h.Deleted {
			continue
		}
		if len(h.Have) != len(data) {
			t.Errorf("%q is at %v, want all %d", key, h.Have, len(data))
		}
		for i := range data {
			got, o := contents(t, data[i].body, key)
			sum := sha256.Sum256([]byte(got))
			if o.Meta[metaOp] != h.Op && o.ETag != h.Plain[siteNames[i]] || hex.EncodeToString(sum[:]) != h.SHA256 {
				t.Errorf("the plain key %q of %s holds %.20q of operation %q, want %q", key, siteNames[i], got, o.Meta[metaOp], h.Op)
			}
			live[key] = got
		}
	}
	for i := range data {
		for _, key := range names(t, data[i].body, "") {
			if _, ok := live[key]; !ok && !slices.Contains(foreign, key) {
				t.Errorf("the plain key %q of %s should not be there", key, siteNames[i])
			}
		}
	}
	return live
}

func mustDelete(t *testing.T, b *Bucket, key string) {
	t.Helper()
	if err := b.Delete(t.Context(), key, blob.DeleteOptions{}); err != nil {
		t.Fatalf("delete %q: %v", key, err)
	}
}

func TestRepairBringsAMemberThatWasAwayUpToDate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFleet(3, 0)
		b := g.open(t)
		for i := range 5 {
			mustPut(t, b, fmt.Sprint("old", i), "before")
		}
		synctest.Wait()
		g.fault(t, 2, faultblob.Fault{Kind: faultblob.Down})
		want := map[string]string{"old0": "before", "old1": "after", "new": "new", "old3": "before", "old4": "before"}
		mustPut(t, b, "old1", "after")
		mustDelete(t, b, "old2")
		mustPut(t, b, "new", "new")
		synctest.Wait()
		_ = b.Close()
		g.heal(t)
		b = g.open(t) // which remembers nothing of what paris missed
		p := mustRepair(t, b)
		if p.Repaired != 3 || p.Keys != 6 || p.Bytes != int64(len("after")+len("new")) || !p.Done {
			t.Errorf("progress is %+v, want 3 of 6 keys repaired and 8 bytes", p)
		}
		if diff := cmp.Diff(want, g.wantWhole(t)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestRepairOfWhatIsWholeWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFleet(3, 1)
		b := g.open(t)
		for i := range 3 {
			mustPut(t, b, fmt.Sprint("k", i), "x")
		}
		mustDelete(t, b, "k1")
		synctest.Wait()
		mustRepair(t, b)
		before := mutations(b)
		if p := mustRepair(t, b); p.Repaired != 0 || p.Keys != 3 {
			t.Errorf("the second repair gives %+v", p)
		}
		after := mutations(b)
		if after["put"] -= before["put"]; after["put"] != 3+2 { // a pulse at each member, and one more at those that hold bodies
			t.Errorf("the second repair made %d puts, want 5", after["put"])
		}
		if after["copy"] != before["copy"] || after["delete"] != before["delete"] {
			t.Errorf("the second repair copied or deleted: %v, before %v", after, before)
		}
	})
}

func mutations(b *Bucket) map[string]uint64 {
	n := map[string]uint64{}
	for _, m := range b.members {
		for _, p := range []*blob.Bucket{m.Heads, m.Body} {
			if p != nil {
				p.Stats().Calls(func(method string, calls, _ uint64) { n[method] += calls })
			}
		}
	}
	return n
}

func TestRepairLeavesForeignObjectsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFleet(3, 1)
		b := g.open(t)
		mustPut(t, b, "ours", "x")
		synctest.Wait()
		if _, err := g.all[1].body.Put(t.Context(), "theirs", strings.NewReader("y"), 1, blob.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		if p := mustRepair(t, b); p.Foreign != 1 || p.Repaired != 0 {
			t.Errorf("progress is %+v, want one foreign object", p)
		}
		if got, _ := contents(t, g.all[1].body, "theirs"); got != "y" {
			t.Errorf("the foreign object holds %q", got)
		}
	})
}

func TestRepairPutsBackWhatWasWrittenPastSpare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFleet(3, 1)
		b := g.open(t)
		mustPut(t, b, "k", "ours")
		mustPut(t, b, "gone", "x")
		mustDelete(t, b, "gone")
		synctest.Wait()
		for _, key := range []string{"k", "gone"} {
			if _, err := g.all[0].body.Put(t.Context(), key, strings.NewReader("other"), 5, blob.PutOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		mustRepair(t, b)
		if diff := cmp.Diff(map[string]string{"k": "ours"}, g.wantWhole(t)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestRepairReportsLostObjectsAndDeletesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFleet(3, 1)
		b := g.open(t)
		mustPut(t, b, "k", "x")
		mustPut(t, b, "other", "x")
		synctest.Wait()
		for i := range 2 {
			for _, d := range []*memblob.Driver{g.all[i].body, g.all[i].heads} {
				for _, n := range names(t, d, "") {
					if n == "k" || strings.HasPrefix(n, "b/k/") {
						_ = d.Delete(t.Context(), n, blob.DeleteOptions{})
					}
				}
			}
		}
		p, err := b.Repair(t.Context(), RepairOptions{})
		if !errs.Is(err, errs.Unavailable) || p.Lost != 1 || !slices.Equal(p.LostKeys, []string{"k"}) || p.Failed != 0 {
			t.Errorf("repair gives %+v, %v", p, err)
		}
		for i := range 3 {
			if n := names(t, g.all[i].heads, headPrefix); !slices.Equal(n, []string{"k", "other"}) {
				t.Errorf("%s has the heads %q", siteNames[i], n)
			}
		}
	})
}

// headed runs something before it describes an object.
type headed struct {
	blob.Driver
	before func()
}

func (d headed) Head(ctx context.Context, key string) (blob.Object, error) {
	d.before()
	return d.Driver.Head(ctx, key)
}

func TestWhatIsOverwrittenWhileItIsLookedAtIsNotLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFleet(3, 1)
		client := g.open(t)
		mustPut(t, client, "k", "old")
		synctest.Wait()
		old := staged("k", headOf(t, g.all[0], "k").Op)
		var once atomic.Bool
		done := make(chan bool)
		before := func() { // before any member is asked for the body that the head named
			if once.Swap(true) {
				<-done
				return
			}
			mustPut(t, client, "k", "new")
			time.Sleep(time.Millisecond)
			for i := range 2 { // as if hours had passed
				_ = g.all[i].heads.Delete(t.Context(), old, blob.DeleteOptions{})
			}
			close(done)
		}
		b := g.open(t, func(o *Options) {
			for i := range 2 {
				o.Members[i].Body = blob.New(siteNames[i], headed{g.body[i], before})
			}
		})
		v, err := b.repairKey(t.Context(), "k")
		if !once.Load() || err != nil || v.lost {
			t.Errorf("repair gives %+v, %v", v, err)
		}
		synctest.Wait()
		mustRepair(t, b)
		if diff := cmp.Diff(map[string]string{"k": "new"}, g.wantWhole(t)); diff != "" {
			t.Error(diff)
		}
	})
}

func TestNothingIsLostWhileAMemberIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFleet(3, 1)
		b := g.open(t)
		mustPut(t, b, "k", "x")
		synctest.Wait()
		_ = g.all[0].body.Delete(t.Context(), "k", blob.DeleteOptions{})
		for _, n := range names(t, g.all[0].heads, stagePrefix) {
			_ = g.all[0].heads.Delete(t.Context(), stagePrefix+n, blob.DeleteOptions{})
		}
		g.fault(t, 1, faultblob.Fault{Kind: faultblob.Down})
		p, err := b.Repair(t.Context(), RepairOptions{})
		if err == nil || p.Lost != 0 || p.Failed != 1 || !slices.Equal(p.Unreachable, []string{"belgium"}) {
			t.Errorf("repair gives %+v, %v", p, err)
		}
		g.heal(t)
		time.Sleep(minBreak)
		mustRepair(t, b)
		g.wantWhole(t)
	})
}

func TestRepairReplacesCorruptCopies(t *testing.T) {
	small, large := []byte("small"), make([]byte, smallBody+17)
	_, _ = rand.NewChaCha8([32]byte{}).Read(large)
	for name, want := range map[string][]byte{"small": small, "large": large} {
		for _, where := range []string{"plain", "staged", "both"} {
			t.Run(name+" "+where, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					g := newFleet(3, 1)
					b := g.open(t)
					mustPut(t, b, "k", string(want))
					synctest.Wait()
					if h := *headOf(t, g.all[0], "k"); where == "plain" { // and the hints are wrong, too
						h.Rev, h.Have = 1, []string{"virginia"}
						g.writeRaw(t, &h)
					}
					spoilCopy(t, g.all[0], "k", where, want)
					b.members[0].setWrong(headOf(t, g.all[0], "k").Op)
					p := mustRepair(t, b)
					if p.Repaired != 1 {
						t.Errorf("progress is %+v", p)
					}
					if got := g.wantWhole(t); got["k"] != string(want) {
						t.Error("the copies are not right")
					}
					if got, _ := contents(t, g.all[0].heads, stagePrefix+names(t, g.all[0].heads, stagePrefix)[0]); got != string(want) {
						t.Error("the staged copy is not right")
					}
				})
			})
		}
	}
}

// writeRaw puts a head into all registers.
func (g *fleet) writeRaw(t *testing.T, h *head) {
	t.Helper()
	data, err := h.encode(len(g.all) - g.witnesses)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range g.all {
		if _, err := s.heads.Put(t.Context(), headPrefix+h.Key, bytes.NewReader(data), int64(len(data)), blob.PutOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

func headOf(t *testing.T, s store, key string) *head {
	t.Helper()
	raw, _ := contents(t, s.heads, headPrefix+key)
	h, err := decodeHead(key, []byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// spoilCopy changes a byte of a member's copy, and nothing else of it.
func spoilCopy(t *testing.T, s store, key, where string, was []byte) {
	t.Helper()
	bad := bytes.Clone(was)
	bad[len(bad)/2] ^= 1
	h := headOf(t, s, key)
	for d, name := range map[*memblob.Driver]string{s.body: key, s.heads: staged(key, h.Op)} {
		if where == "both" || (where == "plain") == (d == s.body) {
			if _, err := d.Put(t.Context(), name, bytes.NewReader(bad), int64(len(bad)), blob.PutOptions{Meta: bodyMeta(h.Op, nil)}); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestAQuickRepairLooksAtWhatIsKnownToBeWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFleet(3, 1)
		b := g.open(t)
		mustPut(t, b, "k", "small")
		mustPut(t, b, "other", "small")
		time.Sleep(time.Second)
		spoilCopy(t, g.all[0], "k", "both", []byte("small"))
		if got, err := readAll(t, b, "k"); got != "small" || err != nil {
			t.Fatalf("get gives %q, %v", got, err)
		}
		if p, err := b.Repair(t.Context(), RepairOptions{Quick: true}); err != nil || p.Keys != 2 || p.Repaired != 1 {
			t.Errorf("repair gives %+v, %v", p, err)
		}
		if got := g.wantWhole(t); len(got) != 2 {
			t.Errorf("the members hold %q", got)
		}
	})
}

func TestReadOfCorruptCopiesAloneFailsAndRepairKeepsThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFleet(3, 1)
		b := g.open(t)
		mustPut(t, b, "k", "small")
		synctest.Wait()
		for i := range 2 {
			spoilCopy(t, g.all[i], "k", "both", []byte("small"))
		}
		if got, err := readAll(t, b, "k"); !errs.Is(err, errs.Unavailable) {
			t.Errorf("get gives %q, %v", got, err)
		}
		p, err := b.Repair(t.Context(), RepairOptions{})
		if err == nil || p.Lost != 1 {
			t.Errorf("repair gives %+v, %v", p, err)
		}
		if got := names(t, g.all[0].body, ""); !slices.Equal(got, []string{"k"}) {
			t.Errorf("plain keys are %q", got)
		}
	})
}

func TestRepairReplacesAHeadThatCannotBeRead(t *testing.T) {
	for name, junk := range map[string]string{"junk": "junk", "too long": strings.Repeat("x", maxHead+1), "empty": ""} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := newFleet(3, 1)
				b := g.open(t)
				mustPut(t, b, "k", "x")
				synctest.Wait()
				if _, err := g.all[1].heads.Put(t.Context(), headPrefix+"k", strings.NewReader(junk), int64(len(junk)), blob.PutOptions{}); err != nil {
					t.Fatal(err)
				}
				g.fault(t, 0, faultblob.Fault{Kind: faultblob.Down, Keys: headPrefix + "k"})
				if _, err := b.Repair(t.Context(), RepairOptions{}); err == nil {
					t.Error("repair succeeds though no majority agrees")
				}
				if got, _ := contents(t, g.all[1].heads, headPrefix+"k"); got != junk {
					t.Fatal("the head was replaced though no majority of others agrees")
				}
				g.heal(t)
				time.Sleep(minBreak)
				mustRepair(t, b)
				g.wantWhole(t)
			})
		})
	}
}

func TestRepairReadmitsAMemberThatWasEmptied(t *testing.T) {
	for witness := range 2 {
		synctest.Test(t, func(t *testing.T) {
			g := newFleet(3, 1)
			b := g.open(t)
			mustPut(t, b, "k", "x")
			mustPut(t, b, "gone", "x")
			mustDelete(t, b, "gone")
			synctest.Wait()
			_ = b.Close()
			lost := 1 + witness
			g.all[lost] = stores(1)[0]
			g.body[lost], g.heads[lost] = faultblob.Wrap(g.all[lost].body), faultblob.Wrap(g.all[lost].heads)
			b = g.open(t)
			if !b.members[lost].amnesic.Load() {
				t.Fatal("the emptied member is counted")
			}
			mustPut(t, b, "k2", "y")
			synctest.Wait()
			mustRepair(t, b)
			if b.members[lost].amnesic.Load() {
				t.Error("the member is still not counted")
			}
			if r := b.readConfig(t.Context(), b.members[lost]); r.config == nil || r.config.Secret != b.config.Secret {
				t.Errorf("its record is %+v", r)
			}
			if diff := cmp.Diff(map[string]string{"k": "x", "k2": "y"}, g.wantWhole(t)); diff != "" {
				t.Error(diff)
			}
			_ = b.Close()
			if b = g.open(t); b.members[lost].amnesic.Load() {
				t.Error("the member is not counted when the bucket is opened again")
			}
		})
	}
}

func TestAMemberIsNotReadmittedWhileAKeyIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFleet(3, 1)
		b := g.open(t)
		mustPut(t, b, "k", "x")
		mustPut(t, b, "k2", "x")
		synctest.Wait()
		_ = b.Close()
		g.all[2] = stores(1)[0]
		g.heads[2] = faultblob.Wrap(g.all[2].heads)
		b = g.open(t)
		if _, err := g.heads[2].Inject(faultblob.Fault{Kind: faultblob.Full, Keys: headPrefix + "k2"}); err != nil {
			t.Fatal(err)
		}
		if p, err := b.Repair(t.Context(), RepairOptions{}); err == nil || p.Failed != 1 {
			t.Errorf("repair gives %+v, %v", p, err)
		}
		if r := b.readConfig(t.Context(), b.members[2]); r.config != nil || !b.members[2].amnesic.Load() {
			t.Error("the member counts again though it lacks a head")
		}
		g.heal(t)
		if p, err := b.Repair(t.Context(), RepairOptions{Prefix: "k"}); err != nil || p.Keys != 2 || !b.members[2].amnesic.Load() {
			t.Errorf("repair of a prefix gives %+v, %v; amnesic %v", p, err, b.members[2].amnesic.Load())
		}
	})
}

func TestRepairFillsAPlainBucketThatWasEmptied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFleet(3, 1)
		b := g.open(t)
		large := strings.Repeat("0123456789abcdef", smallBody/16+1)
		mustPut(t, b, "k", "x")
		mustPut(t, b, "large", large)
		synctest.Wait()
		time.Sleep(b.o.Timing.Grace + time.Second)
		b.reclaimDue(t.Context()) // the staged copies have gone
		for _, n := range names(t, g.all[1].body, "") {
			_ = g.all[1].body.Delete(t.Context(), n, blob.DeleteOptions{})
		}
		if n := names(t, g.all[1].heads, stagePrefix); len(n) != 0 {
			t.Fatalf("staged: %q", n)
		}
		p := mustRepair(t, b)
		if p.Repaired != 2 || p.Bytes != int64(1+len(large)) {
			t.Errorf("progress is %+v", p)
		}
		g.wantWhole(t)
	})
}

func TestRepairGoesThroughManyPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const keys = blob.MaxPage + 7
		g := newFleet(3, 1)
		b := g.open(t)
		for i := range keys {
			mustPut(t, b, fmt.Sprintf("k%05d", i), "x")
		}
		synctest.Wait()
		for i := 0; i < keys; i += 100 {
			key := fmt.Sprintf("k%05d", i)
			_ = g.all[2].heads.Delete(t.Context(), headPrefix+key, blob.DeleteOptions{})
			_ = g.all[0].body.Delete(t.Context(), key, blob.DeleteOptions{})
		}
		told := 0
		p, err := b.Repair(t.Context(), RepairOptions{Progress: func(p Progress) {
			if told++; p.Keys < told {
				t.Errorf("call %d gives %d keys", told, p.Keys)
			}
		}})
		if err != nil || p.Keys != keys || p.Repaired != (keys+99)/100 || p.At != fmt.Sprintf("k%05d", keys-1) {
			t.Errorf("repair gives %+v, %v", p, err)
		}
		if told == 0 {
			t.Error("no progress was told")
		}
		g.wantWhole(t)
	})
}

func TestRepairUnitesHintsThatDiffer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFleet(3, 0)
		b := g.open(t)
		mustPut(t, b, "k", "x")
		synctest.Wait()
		for i, have := range [][]string{{"virginia", "belgium", "paris"}, {"virginia", "paris"}} {
			h := *headOf(t, g.all[i], "k")
			h.Rev, h.Have = 7, have
			data, err := h.encode(3)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := g.all[i].heads.Put(t.Context(), headPrefix+"k", bytes.NewReader(data), int64(len(data)), blob.PutOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		mustRepair(t, b)
		g.wantWhole(t)
	})
}

func TestRepairOfAPrefixLeavesOtherKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFleet(3, 1)
		b := g.open(t)
		for _, key := range []string{"a/1", "b/1", "b/2", "c"} {
			mustPut(t, b, key, "x")
		}
		synctest.Wait()
		for _, key := range []string{"a/1", "b/1", "b/2", "c"} {
			_ = g.all[0].body.Delete(t.Context(), key, blob.DeleteOptions{})
		}
		p, err := b.Repair(t.Context(), RepairOptions{Prefix: "b/"})
		if err != nil || p.Keys != 2 || p.Repaired != 2 {
			t.Errorf("repair gives %+v, %v", p, err)
		}
		if got := names(t, g.all[0].body, ""); !slices.Equal(got, []string{"b/1", "b/2"}) {
			t.Errorf("plain keys are %q", got)
		}
	})
}

func TestBodiesTooLargeForOnePutAreCopiedInParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFleet(3, 1)
		b := g.open(t)
		want := strings.Repeat("0123456789", 1000) + "rest"
		mustPut(t, b, "k", want)
		synctest.Wait()
		h := headOf(t, g.all[0], "k")
		name := staged("k", h.Op)
		if err := b.stageParts(t.Context(), b.members[0], h, strings.NewReader(want), 100, 999); err != nil {
			t.Fatal(err)
		}
		got, o := contents(t, g.all[0].heads, name)
		if got != want || o.Parts != 11 || o.Meta[metaOp] != h.Op {
			t.Errorf("%d bytes in %d parts of operation %q", len(got), o.Parts, o.Meta[metaOp])
		}
		_ = g.all[0].heads.Delete(t.Context(), name, blob.DeleteOptions{})
		bad := errors.New("bad bytes")
		if err := b.stageParts(t.Context(), b.members[0], h, io.MultiReader(strings.NewReader(want), errorReader{bad}), 100, 999); !errors.Is(err, bad) {
			t.Errorf("a body that fails at its end gives %v", err)
		}
		if n := names(t, g.all[0].heads, name); len(n) != 0 {
			t.Error("a body that fails at its end was stored")
		}
		if all, err := g.all[0].heads.ListUploads(t.Context(), ""); err != nil || len(all) != 0 {
			t.Errorf("uploads stay: %v, %v", all, err)
		}
	})
}

type errorReader struct{ err error }

func (e errorReader) Read([]byte) (int, error) { return 0, e.err }

func TestRepairDoesNotWaitForEverForAStalledMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newFleet(3, 0)
		b := g.open(t)
		mustPut(t, b, "k", strings.Repeat("x", smallBody+1))
		synctest.Wait()
		_ = g.all[2].body.Delete(t.Context(), "k", blob.DeleteOptions{})
		for _, n := range names(t, g.all[2].heads, stagePrefix) {
			_ = g.all[2].heads.Delete(t.Context(), stagePrefix+n, blob.DeleteOptions{})
		}
		if _, err := g.heads[2].Inject(faultblob.Fault{Kind: faultblob.BlackHole, Methods: []string{"put"}, Keys: stagePrefix + "*"}); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if p, err := b.Repair(t.Context(), RepairOptions{}); err == nil || p.Failed != 1 {
			t.Errorf("repair gives %+v, %v", p, err)
		}
		if took := time.Since(began); took > 5*b.o.Timing.Stall {
			t.Errorf("repair took %s", took)
		}
		if h := headOf(t, g.all[0], "k"); h.has("paris") {
			t.Errorf("the head says that paris has the body: %v", h.Have)
		}
		g.heal(t)
		mustRepair(t, b)
		g.wantWhole(t)
	})
}

func TestRepairBesideWritersEndsWhole(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			g := newFleet(3, 0)
			b, other := g.open(t), g.open(t)
			for i := range 3 {
				for _, f := range []faultblob.Fault{
					{Kind: faultblob.Latency, Delay: time.Millisecond, Jitter: 80 * time.Millisecond},
					{Kind: faultblob.Lost, Share: 0.05},
				} {
					for j, d := range []*faultblob.Driver{g.heads[i], g.body[i]} {
						f.Rand = rand.New(rand.NewPCG(seed, uint64(20*j+i)))
						if _, err := d.Inject(f); err != nil {
							t.Fatal(err)
						}
					}
				}
			}
			last := map[string]string{}
			done := make(chan bool)
			for range 2 {
				go func() {
					for range 6 {
						_, _ = other.Repair(t.Context(), RepairOptions{})
					}
					done <- true
				}()
			}
			for i := range 40 {
				key := fmt.Sprint("k", r.IntN(4))
				if r.IntN(4) == 0 {
					if err := b.Delete(t.Context(), key, blob.DeleteOptions{}); err == nil {
						delete(last, key)
						continue
					}
				} else {
					body := fmt.Sprint("body ", i)
					if _, err := b.Put(t.Context(), key, strings.NewReader(body), int64(len(body)), blob.PutOptions{}); err == nil {
						last[key] = body
						continue
					}
				}
				if got, err := readAll(t, b, key); err == nil {
					last[key] = got
				} else {
					delete(last, key)
				}
			}
			<-done
			<-done
			g.heal(t)
			time.Sleep(time.Minute)
			mustRepair(t, b)
			if diff := cmp.Diff(last, g.wantWhole(t)); diff != "" {
				t.Errorf("seed %d: %s", seed, diff)
			}
		})
		if t.Failed() {
			return
		}
	}
}
