package replica

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/memblob"
	"github.com/sparecloud/spare/internal/errs"
)

// store is one provider: a plain bucket and its companion.
type store struct{ body, heads *memblob.Driver }

// stores makes n providers.
func stores(n int) []store {
	all := make([]store, n)
	for i := range all {
		all[i] = store{memblob.Open(memblob.Options{Tags: blob.ClassContent}), memblob.Open(memblob.Options{Tags: blob.ClassContent})}
	}
	return all
}

var siteNames = []string{"virginia", "belgium", "paris", "oslo", "osaka"}

// members gives the members over the stores; the last witnesses of them hold
// heads only.
func members(all []store, witnesses int) []Member {
	var list []Member
	for i, s := range all {
		m := Member{ID: siteNames[i], Heads: blob.New(siteNames[i], s.heads), Where: "mem://" + siteNames[i], HeadsWhere: "mem://" + siteNames[i] + "-spare"}
		if i < len(all)-witnesses {
			m.Body = blob.New(siteNames[i], s.body)
		}
		list = append(list, m)
	}
	return list
}

func openTest(t *testing.T, all []store, witnesses int, change ...func(*Options)) *Bucket {
	t.Helper()
	o := Options{Name: "media", Members: members(all, witnesses), Log: slog.New(slog.DiscardHandler)}
	for _, f := range change {
		f(&o)
	}
	b, err := Open(t.Context(), o)
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	return b
}

func mustPut(t *testing.T, b *Bucket, key, body string) blob.Object {
	t.Helper()
	o, err := b.Put(t.Context(), key, strings.NewReader(body), int64(len(body)), blob.PutOptions{})
	if err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
	return o
}

func readAll(t *testing.T, b *Bucket, key string) (string, error) {
	t.Helper()
	r, err := b.Get(t.Context(), key, blob.GetOptions{})
	if err != nil {
		return "", err
	}
	defer func() { _ = r.Close() }()
	data, err := io.ReadAll(r)
	return string(data), err
}

func TestPutGetDeleteRoundTrip(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := openTest(t, stores(3), 1)
		defer func() { _ = b.Close() }()
		body := "hello"
		put, err := b.Put(t.Context(), "a/b", strings.NewReader(body), 5, blob.PutOptions{Header: blob.Header{Type: "text/plain"}, Meta: map[string]string{"who": "me"}})
		if err != nil {
			t.Fatal(err)
		}
		if put.ETag != "5d41402abc4b2a76b9719d911017c592" {
			t.Errorf("ETag is %q, not the MD5", put.ETag)
		}
		got, err := readAll(t, b, "a/b")
		if err != nil || got != body {
			t.Fatalf("get gives %q, %v", got, err)
		}
		o, err := b.Head(t.Context(), "a/b")
		if err != nil || o.Header.Type != "text/plain" || o.Meta["who"] != "me" || o.Meta[metaOp] != "" {
			t.Errorf("head gives %+v, %v", o, err)
		}
		if err := b.Delete(t.Context(), "a/b", blob.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		if _, err := readAll(t, b, "a/b"); !errs.Is(err, errs.NotFound) {
			t.Errorf("get after delete gives %v", err)
		}
	})
}

func TestPlainKeysFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := stores(3)
		b := openTest(t, all, 1)
		defer func() { _ = b.Close() }()
		mustPut(t, b, "k", "one")
		mustPut(t, b, "k", "two")
		synctest.Wait()
		for i := range 2 {
			r, err := all[i].body.Get(t.Context(), "k", blob.GetOptions{})
			if err != nil {
				t.Fatalf("%s has no plain object: %v", siteNames[i], err)
			}
			data, _ := io.ReadAll(r.Body)
			if string(data) != "two" {
				t.Errorf("%s holds %q at the plain key", siteNames[i], data)
			}
		}
		if err := b.Delete(t.Context(), "k", blob.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		for i := range 2 {
			if _, err := all[i].body.Head(t.Context(), "k"); !errs.Is(err, errs.NotFound) {
				t.Errorf("%s keeps the plain object of a deleted key: %v", siteNames[i], err)
			}
		}
	})
}

func TestStagedBodiesGoAfterGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := stores(3)
		b := openTest(t, all, 1)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.Run(ctx) }()
		mustPut(t, b, "k", "one")
		mustPut(t, b, "k", "two")
		count := func() int {
			p, err := all[0].heads.List(t.Context(), blob.ListOptions{Prefix: stagePrefix})
			if err != nil {
				t.Fatal(err)
			}
			return len(p.Objects)
		}
		if n := count(); n != 2 {
			t.Errorf("%d bodies are staged, want 2", n)
		}
		time.Sleep(b.o.Timing.Grace - time.Minute)
		if n := count(); n != 2 {
			t.Errorf("%d bodies are staged before the grace is over, want 2", n)
		}
		time.Sleep(3 * time.Minute)
		if n := count(); n != 0 {
			t.Errorf("%d bodies are staged after the grace, want none", n)
		}
		if got, err := readAll(t, b, "k"); err != nil || got != "two" {
			t.Errorf("get from the plain key gives %q, %v", got, err)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = b.Close()
	})
}

func TestLargeBodySwitchesInMidStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := stores(3)
		b := openTest(t, all, 1)
		defer func() { _ = b.Close() }()
		want := make([]byte, 3<<20+17)
		src := rand.NewChaCha8([32]byte{1})
		_, _ = src.Read(want)
		if _, err := b.Put(t.Context(), "big", bytes.NewReader(want), int64(len(want)), blob.PutOptions{}); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		b.members[0].Heads = blob.New("virginia", &breaking{Driver: all[0].heads, after: 1 << 20})
		b.members[0].Body = blob.New("virginia", &breaking{Driver: all[0].body, after: 1 << 20})
		r, err := b.Get(t.Context(), "big", blob.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = r.Close() }()
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, same %v, %v", len(got), bytes.Equal(got, want), err)
		}
		if n := b.Status().Counts.Switches; n != 1 {
			t.Errorf("%d switches, want 1", n)
		}
	})
}

// breaking ends every body after some bytes.
type breaking struct {
	blob.Driver
	after int64
}

func (b *breaking) Get(ctx context.Context, key string, o blob.GetOptions) (*blob.Reader, error) {
	r, err := b.Driver.Get(ctx, key, o)
	if err == nil && r.Length > b.after {
		r.Body = io.NopCloser(io.LimitReader(r.Body, b.after))
	}
	return r, err
}

func TestRefusesWhatModeACannotDo(t *testing.T) {
	b := openTest(t, stores(3), 1)
	defer func() { _ = b.Close() }()
	mustPut(t, b, "k", "x")
	cond := blob.Condition{Absent: true}
	_, putErr := b.Put(t.Context(), "k", strings.NewReader("y"), 1, blob.PutOptions{If: cond})
	_, copyErr := b.Copy(t.Context(), "k", "k", blob.CopyOptions{})
	for name, err := range map[string]error{
		"put": putErr, "copy": copyErr,
		"delete": b.Delete(t.Context(), "k", blob.DeleteOptions{If: blob.Condition{Match: "x"}}),
	} {
		if !errs.Is(err, errs.Unsupported) || !strings.Contains(errs.Hint(err), "conditional: true") {
			t.Errorf("%s: %v (hint %q)", name, err, errs.Hint(err))
		}
	}
}

func TestShortBodyIsNeverCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := stores(3)
		b := openTest(t, all, 1)
		defer func() { _ = b.Close() }()
		mustPut(t, b, "k", "old")
		_, err := b.Put(t.Context(), "k", strings.NewReader("ne"), 3, blob.PutOptions{})
		if !errs.Is(err, errs.Invalid) || errs.IsMaybeApplied(err) {
			t.Errorf("a short body gives %v", err)
		}
		_, err = b.Put(t.Context(), "k", strings.NewReader("newer"), 3, blob.PutOptions{})
		if !errs.Is(err, errs.Invalid) {
			t.Errorf("a long body gives %v", err)
		}
		synctest.Wait()
		if got, err := readAll(t, b, "k"); got != "old" || err != nil {
			t.Errorf("get gives %q, %v", got, err)
		}
		p, err := all[0].heads.List(t.Context(), blob.ListOptions{Prefix: stagePrefix})
		if err != nil || len(p.Objects) != 1 {
			t.Errorf("staged: %d, %v; want the committed one only", len(p.Objects), err)
		}
	})
}

func TestOtherMembersThanTheRecordAreRefused(t *testing.T) {
	all := stores(4)
	b := openTest(t, all[:3], 1)
	_ = b.Close()
	other := members(all, 1)
	other = append(other[:2], other[3])
	_, err := Open(t.Context(), Options{Name: "media", Members: other, Log: slog.New(slog.DiscardHandler)})
	if !errs.Is(err, errs.Conflict) || !strings.Contains(err.Error(), "oslo is in the file and not in the record") {
		t.Errorf("open with another witness gives %v", err)
	}
}

func TestEmptiedMemberIsNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := stores(3)
		b := openTest(t, all, 1)
		mustPut(t, b, "k", "one")
		_ = b.Close()
		all[1] = stores(1)[0] // belgium was emptied
		b = openTest(t, all, 1)
		defer func() { _ = b.Close() }()
		if !b.members[1].amnesic.Load() {
			t.Fatal("the emptied member is counted")
		}
		if got, err := readAll(t, b, "k"); got != "one" || err != nil {
			t.Errorf("get gives %q, %v", got, err)
		}
	})
}
