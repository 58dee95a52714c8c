package replica

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/faultblob"
	"github.com/sparecloud/spare/internal/errs"
)

func TestAbortedUploadsAreGone(t *testing.T) {
	for down := -1; down < 3; down++ {
		synctest.Test(t, func(t *testing.T) {
			g := newTrio(t, content3, 0)
			g.put("k", "old")
			id := g.create("k")
			p := g.part("k", id, 1, "x")
			synctest.Wait()
			if down >= 0 {
				g.down(down)
			}
			if err := g.b.AbortUpload(t.Context(), "k", id); err != nil {
				t.Fatalf("abort with member %d down: %v", down, err)
			}
			g.heal()
			for other := range 3 { // whoever was away meanwhile, and whoever is now
				g.down(other)
				_, err := g.b.CompleteUpload(t.Context(), "k", id, []blob.Part{p}, blob.Condition{})
				if err == nil {
					t.Error("an aborted upload was completed")
				}
				if all, err := g.b.ListUploads(t.Context(), ""); len(all) > 0 || err != nil {
					t.Errorf("list uploads gives %+v, %v", all, err)
				}
				g.heal()
			}
			if err := g.b.AbortUpload(t.Context(), "k", id); err != nil { // that it was aborted may not be known at every majority
				wantNoUpload(t, "abort again", err)
			}
			synctest.Wait()
			_, err := g.b.CompleteUpload(t.Context(), "k", id, []blob.Part{p}, blob.Condition{})
			wantNoUpload(t, "complete", err)
			g.wantBody("k", "old")
			time.Sleep(2 * g.b.o.Timing.Grace)
			if n, err := g.b.sweepUploads(t.Context(), ""); n != 1 || err != nil {
				t.Errorf("%d uploads are swept, %v, want 1", n, err)
			}
			for i, s := range g.stores {
				if left, _ := s.heads.ListUploads(t.Context(), ""); len(left) > 0 {
					t.Errorf("%s keeps %d uploads", siteNames[i], len(left))
				}
				if p, _ := s.heads.List(t.Context(), blob.ListOptions{Prefix: uploadPrefix}); len(p.Objects) > 0 {
					t.Errorf("%s keeps %d records of uploads", siteNames[i], len(p.Objects))
				}
			}
		})
	}
}

// TestRecordsOfUploadsStayWhileAMemberIsAway: that member would bring the
// upload back.
func TestRecordsOfUploadsStayWhileAMemberIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, content3, 0)
		id := g.create("k")
		synctest.Wait()
		g.down(1)
		if err := g.b.AbortUpload(t.Context(), "k", id); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second) // until nobody tries any more
		g.heal()
		time.Sleep(2 * g.b.o.Timing.Grace)
		g.fail(1, faultblob.Fault{Kind: faultblob.Down, Keys: "u/*"})
		if n, err := g.b.sweepUploads(t.Context(), ""); n != 0 || !errs.Is(err, errs.Unavailable) {
			t.Errorf("%d uploads are swept, %v", n, err)
		}
		g.heal()
		g.down(0)
		if all, err := g.b.ListUploads(t.Context(), ""); len(all) > 0 || err != nil {
			t.Errorf("list uploads gives %+v, %v", all, err)
		}
	})
}

func TestListUploadsGivesThemByKeyAndStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, content3, 0)
		var ids []string
		for _, key := range []string{"m/b", "m/a", "m/a", "n", "m"} {
			ids = append(ids, g.create(key))
			time.Sleep(time.Second)
		}
		g.pages = func() int { return 2 }
		for other := -1; other < 3; other++ {
			if other >= 0 {
				g.down(other)
			}
			all, err := g.b.ListUploads(t.Context(), "m")
			var got []string
			for _, u := range all {
				got = append(got, u.ID)
			}
			if want := []string{ids[4], ids[1], ids[2], ids[0]}; err != nil || !slices.Equal(got, want) {
				t.Errorf("list uploads gives %d, %v", len(all), err)
			}
			g.heal()
		}
	})
}

func TestListPartsShowsWhatWasAcknowledged(t *testing.T) {
	for name, classes := range map[string][]blob.Class{"content": content3, "mixed": mixed3} {
		for missed := range 3 {
			for silent := range 3 {
				synctest.Test(t, func(t *testing.T) {
					g := newTrio(t, classes, 0)
					id := g.create("k")
					g.part("k", id, 1, "one")
					g.part("k", id, 2, "old two")
					time.Sleep(time.Second)
					g.down(missed)
					want := []blob.Part{g.part("k", id, 2, "two"), g.part("k", id, 3, "three"), g.part("k", id, 5, "five")}
					g.heal()
					g.down(silent)
					got, more, err := g.b.ListParts(t.Context(), "k", id, 1, 2)
					if err != nil || !more || len(got) != 2 {
						t.Fatalf("list parts gives %+v, %v, %v", got, more, err)
					}
					rest, more, err := g.b.ListParts(t.Context(), "k", id, 3, 2)
					if err != nil || more {
						t.Fatalf("list parts gives %+v, %v, %v", rest, more, err)
					}
					for i, p := range append(got, rest...) {
						if p.Number != want[i].Number || p.Size != want[i].Size || p.ETag != want[i].ETag {
							t.Errorf("%s, %d missed, %d silent: listed %+v, sent %+v", name, missed, silent, p, want[i])
						}
					}
				})
			}
		}
	}
}

func TestTwoNotesOfOneTagSayNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, unique3, 0)
		op := newOp(t.Context())
		note := func(what, sum, tag string) {
			if err := g.b.prove(t.Context(), g.b.members[0], op, what, sum, tag); err != nil {
				t.Fatal(err)
			}
		}
		note(wholeProof, "one-1", "")
		note("1", "sum", "tag")
		note("1", "sum", "tag")
		known, err := g.b.proofsAt(t.Context(), g.b.members[0], op)
		if err != nil || known.whole() != "one-1" || known.of(blob.Part{Number: 1, ETag: "tag"}) != "sum" || known.of(blob.Part{Number: 2, ETag: "tag"}) != "tag" {
			t.Errorf("the notes are %q, %v", known, err)
		}
		note(wholeProof, "two-2", "")
		note("1", "other", "tag")
		known, err = g.b.proofsAt(t.Context(), g.b.members[0], op)
		if err != nil || known.whole() != "" || known.of(blob.Part{Number: 1, ETag: "tag"}) != "" {
			t.Errorf("the notes are %q, %v", known, err)
		}
	})
}

func TestPartsAreNotListedWhereTooFewAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, content3, 0)
		id := g.create("k")
		g.part("k", id, 1, "x")
		g.down(0)
		g.down(1)
		if parts, _, err := g.b.ListParts(t.Context(), "k", id, 0, 0); !errs.Is(err, errs.Unavailable) {
			t.Errorf("list parts gives %+v, %v", parts, err)
		}
	})
}
