package replica

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/faultblob"
	"github.com/sparecloud/spare/internal/errs"
)

var unique3 = []blob.Class{blob.ClassUnique, blob.ClassUnique, blob.ClassUnique}

// noise gives n bytes that no other seed gives.
func noise(n int, seed byte) string {
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(data) // never fails
	return string(data)
}

func (g *trio) create(key string) string {
	g.t.Helper()
	id, err := g.b.CreateUpload(g.t.Context(), key, blob.PutOptions{})
	if err != nil {
		g.t.Fatalf("create upload: %v", err)
	}
	return id
}

func (g *trio) part(key, id string, number int, body string) blob.Part {
	g.t.Helper()
	p, err := g.b.UploadPart(g.t.Context(), key, id, number, strings.NewReader(body), int64(len(body)))
	if err != nil {
		g.t.Fatalf("upload part %d: %v", number, err)
	}
	return p
}

func (g *trio) complete(key, id string, parts ...blob.Part) blob.Object {
	g.t.Helper()
	o, err := g.b.CompleteUpload(g.t.Context(), key, id, parts, blob.Condition{})
	if err != nil {
		g.t.Fatalf("complete upload: %v", err)
	}
	return o
}

// wantEverywhere checks that the object survives the loss of any member.
func (g *trio) wantEverywhere(key, want string) {
	g.t.Helper()
	for i := range g.heads {
		g.down(i)
		g.wantBody(key, want)
		g.heal()
	}
}

func wantNoUpload(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, blob.ErrNoUpload) || !errs.Is(err, errs.NotFound) {
		t.Errorf("%s gives %v, want ErrNoUpload", what, err)
	}
}

func TestPartsMakeAnObjectEverywhere(t *testing.T) {
	for name, classes := range map[string][]blob.Class{"content": content3, "mixed": mixed3, "unique": unique3} {
		synctest.Test(t, func(t *testing.T) {
			g := newTrio(t, classes, 0)
			o := blob.PutOptions{Header: blob.Header{Type: "image/png"}, Meta: map[string]string{"who": "me"}}
			id, err := g.b.CreateUpload(t.Context(), "dir/k", o)
			if err != nil {
				t.Fatal(err)
			}
			one, two := noise(blob.MinPart+3, 1), noise(1000, 2)
			second := g.part("dir/k", id, 7, two)
			first := g.part("dir/k", id, 2, one)
			sum := md5.Sum([]byte(one))
			if first.ETag != hex.EncodeToString(sum[:]) {
				t.Errorf("%s: the part's ETag is %q, not its MD5", name, first.ETag)
			}
			made := g.complete("dir/k", id, first, second)
			if want, _ := etagOf([]blob.Part{first, second}); made.ETag != want || !strings.HasSuffix(want, "-2") {
				t.Errorf("%s: the ETag is %q, want %q", name, made.ETag, want)
			}
			got, err := g.b.Head(t.Context(), "dir/k")
			if err != nil || got.Parts != 2 || got.Header != o.Header || got.Meta["who"] != "me" || len(got.Meta) != 1 || got.Size != int64(len(one+two)) {
				t.Errorf("%s: head gives %+v, %v", name, got, err)
			}
			synctest.Wait()
			g.wantEverywhere("dir/k", one+two)
			for i := range 3 {
				r, err := g.stores[i].body.Get(t.Context(), "dir/k", blob.GetOptions{})
				if err != nil {
					t.Fatalf("%s: %s has no plain object: %v", name, siteNames[i], err)
				}
				if data, _ := io.ReadAll(r.Body); string(data) != one+two || r.Meta["who"] != "me" || r.Header != o.Header {
					t.Errorf("%s: %s has other bytes or headers at the plain key: %+v", name, siteNames[i], r.Object)
				}
				if p, _ := g.stores[i].heads.List(t.Context(), blob.ListOptions{Prefix: proofPrefix}); len(p.Objects) > 0 {
					t.Errorf("%s: %d notes on parts are left at %s", name, len(p.Objects), siteNames[i])
				}
			}
		})
	}
}

func TestAnObjectOfAnEmptyPartCanBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, content3, 0)
		id := g.create("k")
		g.complete("k", id, g.part("k", id, 1, ""))
		g.wantBody("k", "")
		id = g.create("l")
		body := noise(blob.MinPart, 1)
		g.complete("l", id, g.part("l", id, 1, body), g.part("l", id, 2, ""))
		g.wantBody("l", body)
	})
}

func TestUploadIDsCannotBeMadeUpOrMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, content3, 0)
		id := g.create("k")
		p := g.part("k", id, 1, "x")
		other := newTrio(t, content3, 0)
		for what, use := range map[string]struct{ key, id string }{
			"another key": {"l", id}, "a changed id": {"k", twisted(id)}, "a shortened id": {"k", id[:len(id)-4]}, "no id": {"k", ""},
			"another bucket's id": {"k", other.create("k")}, "a long id": {"k", strings.Repeat("A", 1<<20)}, "not base64": {"k", "!" + id[1:]},
		} {
			_, err := g.b.UploadPart(t.Context(), use.key, use.id, 1, strings.NewReader("y"), 1)
			wantNoUpload(t, what+": upload part", err)
			_, err = g.b.CompleteUpload(t.Context(), use.key, use.id, []blob.Part{p}, blob.Condition{})
			wantNoUpload(t, what+": complete", err)
			wantNoUpload(t, what+": abort", g.b.AbortUpload(t.Context(), use.key, use.id))
			_, _, err = g.b.ListParts(t.Context(), use.key, use.id, 0, 0)
			wantNoUpload(t, what+": list parts", err)
		}
		g.complete("k", id, p)
	})
}

// twisted changes one character in the middle.
func twisted(id string) string {
	b := []byte(id)
	b[len(b)/2] ^= 1
	return string(b)
}

func TestAnUploadGoesOnThroughAnotherGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, unique3, 0)
		id := g.create("k")
		p := g.part("k", id, 1, "first")
		_ = g.b.Close()
		g.b = g.open()
		parts, more, err := g.b.ListParts(t.Context(), "k", id, 0, 0)
		if err != nil || more || len(parts) != 1 || parts[0].ETag != p.ETag || parts[0].Size != 5 {
			t.Errorf("list parts gives %+v, %v, %v", parts, more, err)
		}
		g.complete("k", id, p)
		g.wantEverywhere("k", "first")
	})
}

func TestARepeatedCompleteChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, content3, 0)
		id := g.create("k")
		p := g.part("k", id, 1, "parts")
		made := g.complete("k", id, p)
		if again := g.complete("k", id, p); again.ETag != made.ETag {
			t.Errorf("the ETag is %q, then %q", made.ETag, again.ETag)
		}
		g.put("k", "newer")
		if again := g.complete("k", id, p); again.ETag != made.ETag {
			t.Errorf("after another write the ETag is %q, it was %q", again.ETag, made.ETag)
		}
		g.wantBody("k", "newer")
		time.Sleep(g.b.o.Timing.Grace/2 + time.Second)
		g.complete("k", id, p)
		g.delete("k")
		g.complete("k", id, p)
		g.wantNone("k")
		g.put("k", "again")
		if n, err := g.b.sweepUploads(t.Context(), ""); n != 0 || err != nil {
			t.Errorf("%d uploads are swept, %v, before Grace is over", n, err)
		}
		time.Sleep(2 * g.b.o.Timing.Grace)
		if n, err := g.b.sweepUploads(t.Context(), ""); n != 1 || err != nil {
			t.Errorf("%d uploads are swept, %v, want 1", n, err)
		}
		_, err := g.b.CompleteUpload(t.Context(), "k", id, []blob.Part{p}, blob.Condition{})
		wantNoUpload(t, "a Complete long after", err)
		g.wantBody("k", "again")
	})
}

func TestACompletedUploadThatIsTheHeadIsKnownForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, content3, 0)
		id := g.create("k")
		p := g.part("k", id, 1, "parts")
		made := g.complete("k", id, p)
		time.Sleep(2 * g.b.o.Timing.Grace)
		if n, err := g.b.sweepUploads(t.Context(), ""); n != 1 || err != nil {
			t.Errorf("%d uploads are swept, %v, want 1", n, err)
		}
		if again := g.complete("k", id, p); again.ETag != made.ETag {
			t.Errorf("the ETag is %q, then %q", made.ETag, again.ETag)
		}
	})
}

func TestCompleteRefusesOtherParts(t *testing.T) {
	for name, classes := range map[string][]blob.Class{"content": content3, "mixed": mixed3, "unique": unique3} {
		for down := -1; down < 3; down++ { // with a member silent, it is certain all the same
			synctest.Test(t, func(t *testing.T) {
				g := newTrio(t, classes, 0)
				id := g.create("k")
				old := g.part("k", id, 1, "old")
				big := g.part("k", id, 1, "new")
				small := g.part("k", id, 2, "end")
				if down >= 0 {
					g.down(down)
				}
				for what, tt := range map[string]struct {
					parts []blob.Part
					want  error
				}{
					"overwritten": {[]blob.Part{old}, blob.ErrPart}, "missing": {[]blob.Part{big, {Number: 3, ETag: small.ETag}}, blob.ErrPart},
					"no MD5": {[]blob.Part{{Number: 1, ETag: "x"}}, blob.ErrPart}, "none": {nil, blob.ErrPart}, "small": {[]blob.Part{big, small}, blob.ErrTooSmall},
				} {
					_, err := g.b.CompleteUpload(t.Context(), "k", id, tt.parts, blob.Condition{})
					if !errors.Is(err, tt.want) || !errs.Is(err, errs.Invalid) {
						t.Errorf("%s, %d down: parts that are %s give %v, want %v", name, down, what, err, tt.want)
					}
				}
				_, err := g.b.CompleteUpload(t.Context(), "k", id, []blob.Part{small, big}, blob.Condition{})
				if !errs.Is(err, errs.Invalid) {
					t.Errorf("parts out of order give %v", err)
				}
				_, err = g.b.CompleteUpload(t.Context(), "k", id, []blob.Part{big}, blob.Condition{Absent: true})
				if !errs.Is(err, errs.Unsupported) {
					t.Errorf("a condition gives %v", err)
				}
				g.complete("k", id, big)
				g.heal()
				g.wantBody("k", "new")
			})
		}
	}
}

// TestAMemberThatMissedAPartOfTheSameSizeIsLeftOut: its copy would be of other
// bytes.
func TestAMemberThatMissedAPartOfTheSameSizeIsLeftOut(t *testing.T) {
	for name, classes := range map[string][]blob.Class{"content": content3, "mixed": mixed3, "unique": unique3} {
		synctest.Test(t, func(t *testing.T) {
			g := newTrio(t, classes, 0)
			id := g.create("k")
			g.part("k", id, 1, "old")
			g.down(2)
			p := g.part("k", id, 1, "new")
			g.heal()
			g.complete("k", id, p)
			h, err := g.b.read(t.Context(), "k")
			if err != nil || slices.Contains(h.Have, siteNames[2]) {
				t.Errorf("%s: the head names %q, %v", name, h.Have, err)
			}
			g.wantEverywhere("k", "new")
			synctest.Wait()
			if _, _, more := g.b.dirty.behind(siteNames[2]); more {
				t.Error("more keys are behind than one")
			}
			if n, _, _ := g.b.dirty.behind(siteNames[2]); n != 1 {
				t.Errorf("%s: %d keys are known to be behind, want 1", name, n)
			}
		})
	}
}

// TestPartsThatDifferentMembersMissedAreFilled: each part is at two members,
// and only one has all.
func TestPartsThatDifferentMembersMissedAreFilled(t *testing.T) {
	for name, classes := range map[string][]blob.Class{"content": content3, "mixed": mixed3, "unique": unique3} {
		synctest.Test(t, func(t *testing.T) {
			g := newTrio(t, classes, 0)
			id := g.create("k")
			bodies := []string{noise(blob.MinPart, 1), noise(blob.MinPart+1, 2), noise(10, 3)}
			var parts []blob.Part
			for i, body := range bodies {
				if i < 2 {
					g.down(i)
				}
				parts = append(parts, g.part("k", id, i+1, body))
				g.heal()
			}
			g.complete("k", id, parts...)
			g.wantEverywhere("k", strings.Join(bodies, ""))
			if name == "content" {
				g.stores[2].heads.Restore(newTrio(t, content3, 0).stores[0].heads.Snapshot()) // the member that had all is gone
				g.b.loses(g.b.members[2])
				g.down(2)
				g.wantBody("k", strings.Join(bodies, ""))
			}
		})
	}
}

func TestAPartNeedsEnoughMembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, content3, 0)
		id := g.create("k")
		g.down(0)
		g.down(1)
		_, err := g.b.UploadPart(t.Context(), "k", id, 1, strings.NewReader("x"), 1)
		if !errs.Is(err, errs.Unavailable) {
			t.Errorf("a part that one member takes gives %v", err)
		}
		if _, err := g.b.CreateUpload(t.Context(), "l", blob.PutOptions{}); !errs.Is(err, errs.Unavailable) {
			t.Errorf("an upload that one member takes gives %v", err)
		}
		g.heal()
		g.complete("k", id, g.part("k", id, 1, "x"))
		if all, err := g.b.ListUploads(t.Context(), ""); err != nil || len(all) != 0 {
			t.Errorf("list uploads gives %+v, %v", all, err)
		}
	})
}

func TestASlowMemberDoesNotHoldPartsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, content3, 0)
		id := g.create("k")
		g.fail(1, faultblob.Fault{Kind: faultblob.BlackHole, Methods: []string{"upload_part"}})
		began := time.Now()
		body := noise(blob.MinPart, 1)
		p := g.part("k", id, 1, body)
		if took := time.Since(began); took > g.b.o.Timing.Stall+g.b.o.Timing.Attempt+time.Second {
			t.Errorf("the part took %s", took)
		}
		g.complete("k", id, p)
		g.heal()
		g.wantEverywhere("k", body)
	})
}

func TestABodyThatFailsIsNoPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, content3, 0)
		id := g.create("k")
		failed := errors.New("the client's line broke")
		body := io.MultiReader(bytes.NewReader(make([]byte, 100)), errReader{failed})
		if _, err := g.b.UploadPart(t.Context(), "k", id, 1, body, 200); !errors.Is(err, failed) {
			t.Errorf("a body that fails gives %v", err)
		}
		if _, err := g.b.UploadPart(t.Context(), "k", id, 1, strings.NewReader("short"), 6); !errors.Is(err, blob.ErrShort) {
			t.Errorf("a short body gives %v", err)
		}
		for _, n := range []int{7, 3 << 20} {
			if _, err := g.b.UploadPart(t.Context(), "k", id, 1, bytes.NewReader(make([]byte, n)), 6); !errs.Is(err, errs.Invalid) {
				t.Errorf("a body of %d bytes in place of 6 gives %v", n, err)
			}
		}
		synctest.Wait()
		if parts, _, err := g.b.ListParts(t.Context(), "k", id, 0, 0); len(parts) > 0 || err != nil {
			t.Errorf("list parts gives %+v, %v", parts, err)
		}
	})
}

type errReader struct{ err error }

func (e errReader) Read([]byte) (int, error) { return 0, e.err }

func TestTheSizeOfOnePartFollowsFromTheOthers(t *testing.T) {
	for _, tt := range []struct{ sizes, want []int64 }{
		{[]int64{5, -1, 3}, []int64{5, 2, 3}}, {[]int64{-1}, []int64{10}}, {[]int64{-1, -1, 3}, []int64{-1, -1, 3}},
	} {
		c := &completion{size: -1}
		for _, s := range tt.sizes {
			c.parts = append(c.parts, blob.Part{Size: s})
		}
		c.sized(10)
		for i, p := range c.parts {
			if p.Size != tt.want[i] || c.size != 10 {
				t.Errorf("sizes %d of 10 bytes: part %d has %d, want %d", tt.sizes, i+1, p.Size, tt.want[i])
			}
		}
	}
}

func TestRunsTellTheSizesOfParts(t *testing.T) {
	sizes := func(n ...int64) (parts []blob.Part) {
		for i, s := range n {
			parts = append(parts, blob.Part{Number: i + 1, Size: s})
		}
		return parts
	}
	if got := fmt.Sprint(runsOf(sizes(5, 5, 5, 2))); got != "[{5 3} {2 1}]" {
		t.Errorf("got %s", got)
	}
	var odd []int64
	for i := range maxRuns {
		odd = append(odd, int64(i))
	}
	if got := runsOf(sizes(odd...)); len(got) != maxRuns {
		t.Errorf("%d runs, want %d", len(got), maxRuns)
	}
	if got := runsOf(sizes(append(odd, 1000)...)); got != nil {
		t.Errorf("%d runs, want none", len(got))
	}
}
