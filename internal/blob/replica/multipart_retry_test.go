package replica

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/faultblob"
	"github.com/sparecloud/spare/internal/errs"
)

// begun is an upload with one part, over an object that is there.
func begun(t *testing.T, classes []blob.Class, change ...func(*Options)) (g *trio, id string, p blob.Part) {
	g = newTrio(t, classes, 0, change...)
	g.put("k", "before")
	id = g.create("k")
	p = g.part("k", id, 1, "parts")
	synctest.Wait()
	return g, id, p
}

// tryWith completes the upload under a fault of the method at members, and
// gives the error.
func (g *trio) tryWith(id string, p blob.Part, method, keys string, at ...int) error {
	for _, i := range at {
		g.fail(i, faultblob.Fault{Kind: faultblob.Down, Methods: []string{method}, Keys: keys})
	}
	_, err := g.b.CompleteUpload(g.t.Context(), "k", id, []blob.Part{p}, blob.Condition{})
	time.Sleep(20 * time.Second) // until nobody tries any more
	g.heal()
	return err
}

// TestOfTwoPinsTheNewerCounts: or the upload would be completed by the one, and
// then by the other once more.
func TestOfTwoPinsTheNewerCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, id, p := begun(t, content3)
		if err := g.tryWith(id, p, "put", "u/*", 1, 2); !errs.IsMaybeApplied(err) {
			t.Fatalf("a Complete that one member pins gives %v", err)
		}
		g.put("k", "x")
		g.put("k", "y")
		g.down(0)
		if err := g.tryWith(id, p, "put", "h/*", 1, 2); !errs.IsMaybeApplied(err) {
			t.Fatalf("a Complete that writes no head gives %v", err)
		}
		g.down(2)
		g.complete("k", id, p)
		g.wantBody("k", "parts")
		g.heal()
		for i := range 3 {
			g.down(i)
			g.complete("k", id, p)
			g.wantBody("k", "parts")
			g.heal()
		}
	})
}

func TestACompleteIsNotFinishedOnceItsBodyMayBeSwept(t *testing.T) {
	for what, tt := range map[string]struct {
		method, keys string
		at           []int
	}{
		"pinned": {"put", "h/*", []int{0, 1, 2}}, "put together": {"put", "u/*", []int{0, 1, 2}}, "pinned at one": {"put", "u/*", []int{0, 1}},
	} {
		synctest.Test(t, func(t *testing.T) {
			g, id, p := begun(t, content3)
			if err := g.tryWith(id, p, tt.method, tt.keys, tt.at...); !errs.Is(err, errs.Unavailable) {
				t.Fatalf("%s: complete gives %v", what, err)
			}
			time.Sleep(g.b.o.Timing.Grace/2 + time.Second)
			_, err := g.b.CompleteUpload(t.Context(), "k", id, []blob.Part{p}, blob.Condition{})
			wantNoUpload(t, what+": complete, long after", err)
			g.wantBody("k", "before")
		})
	}
}

func TestACompleteThatTookTooLongIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, id, p := begun(t, content3, func(o *Options) { o.Timing.Grace = 10 * time.Second })
		for _, i := range []int{1, 2} {
			g.fail(i, faultblob.Fault{Kind: faultblob.Latency, Delay: 6 * time.Second, Methods: []string{"complete_upload"}})
		}
		_, err := g.b.CompleteUpload(t.Context(), "k", id, []blob.Part{p}, blob.Condition{})
		if err == nil || errs.IsMaybeApplied(err) {
			t.Errorf("complete gives %v", err)
		}
		g.wantBody("k", "before")
	})
}

func TestPartsOfTwoCompletesAreNotMixedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, id, p := begun(t, content3)
		tok, err := g.b.unseal("k", id)
		if err != nil {
			t.Fatal(err)
		}
		open, err := g.b.readMarks(t.Context(), "k", tok.Op)
		if err != nil {
			t.Fatal(err)
		}
		g.complete("k", id, p)
		other := *open.any()
		other.State, other.Head = markPinned, &head{stamp: stamp{9, tok.Op}, Key: "k", ETag: "another-1"}
		if _, err := g.b.pin(t.Context(), open, &other); !errs.Is(err, errs.Conflict) {
			t.Errorf("a pin with other parts gives %v", err)
		}
	})
}

// TestAMemberThatPutOtherPartsTogetherIsLeftOut: an earlier attempt named other
// parts and failed.
func TestAMemberThatPutOtherPartsTogetherIsLeftOut(t *testing.T) {
	for _, classes := range [][]blob.Class{content3, unique3} {
		synctest.Test(t, func(t *testing.T) {
			g, id, p := begun(t, classes)
			other := g.part("k", id, 2, "other")
			for _, i := range []int{1, 2} {
				g.fail(i, faultblob.Fault{Kind: faultblob.Error, Methods: []string{"complete_upload"}})
			}
			if _, err := g.b.CompleteUpload(t.Context(), "k", id, []blob.Part{other}, blob.Condition{}); !errs.Is(err, errs.Unavailable) {
				t.Fatalf("complete at one member gives %v", err)
			}
			g.heal()
			synctest.Wait()
			g.complete("k", id, p)
			h, err := g.b.read(t.Context(), "k")
			if err != nil || h.has(siteNames[0]) || len(h.Have) != 2 {
				t.Errorf("the head names %q, %v", h.Have, err)
			}
			g.wantEverywhere("k", "parts")
		})
	}
}

func TestNothingIsPutTogetherWhereTooFewCan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, id, p := begun(t, content3)
		if err := g.tryWith(id, p, "list_parts", "", 0, 1); !errs.Is(err, errs.Unavailable) || errs.IsMaybeApplied(err) {
			t.Errorf("complete gives %v", err)
		}
		for i, s := range g.stores {
			if all, err := s.heads.ListUploads(t.Context(), ""); len(all) != 1 || err != nil {
				t.Errorf("%s has %d uploads, %v; want 1", siteNames[i], len(all), err)
			}
		}
		g.complete("k", id, p)
	})
}

// TestUploadsThatProvidersEndedAreGone: their own rules for incomplete uploads
// do that.
func TestUploadsThatProvidersEndedAreGone(t *testing.T) {
	for ended := 1; ended <= 3; ended++ {
		synctest.Test(t, func(t *testing.T) {
			g, id, p := begun(t, content3)
			for _, s := range g.stores[:ended] {
				all, err := s.heads.ListUploads(t.Context(), "")
				if err != nil || len(all) != 1 {
					t.Fatalf("%d uploads, %v", len(all), err)
				}
				if err := s.heads.AbortUpload(t.Context(), all[0].Key, all[0].ID); err != nil {
					t.Fatal(err)
				}
			}
			_, _, listErr := g.b.ListParts(t.Context(), "k", id, 0, 0)
			_, partErr := g.b.UploadPart(t.Context(), "k", id, 2, strings.NewReader("x"), 1)
			_, err := g.b.CompleteUpload(t.Context(), "k", id, []blob.Part{p}, blob.Condition{})
			if ended == 1 {
				if err := errors.Join(listErr, partErr, err); err != nil {
					t.Errorf("one member ended it: %v", err)
				}
				return
			}
			wantNoUpload(t, "list parts", listErr)
			wantNoUpload(t, "upload part", partErr)
			wantNoUpload(t, "complete", err)
			g.wantBody("k", "before")
		})
	}
}

func TestPartsThatNoMemberHasAllOfMustBeSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, content3, 0)
		id := g.create("k")
		bodies := []string{noise(blob.MinPart, 1), noise(blob.MinPart, 2), "end"}
		var parts []blob.Part
		for i, body := range bodies {
			g.down(i)
			parts = append(parts, g.part("k", id, i+1, body))
			g.heal()
		}
		_, err := g.b.CompleteUpload(t.Context(), "k", id, parts, blob.Condition{})
		if !errors.Is(err, blob.ErrPart) {
			t.Fatalf("complete gives %v", err)
		}
		g.down(0)
		if _, err := g.b.CompleteUpload(t.Context(), "k", id, parts, blob.Condition{}); !errs.Is(err, errs.Unavailable) {
			t.Errorf("with a member silent that may have all, complete gives %v", err)
		}
		g.heal()
		g.part("k", id, 1, bodies[0])
		g.complete("k", id, parts...)
		g.wantEverywhere("k", strings.Join(bodies, ""))
	})
}

// TestAPartThatIsNotWhatItsTagSaysIsNotFilled: the member it comes from may hold
// something wrong.
func TestAPartThatIsNotWhatItsTagSaysIsNotFilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, content3, 0)
		id := g.create("k")
		bodies := []string{noise(blob.MinPart, 1), noise(blob.MinPart, 2)}
		var parts []blob.Part
		for i, body := range bodies {
			g.down(i)
			parts = append(parts, g.part("k", id, i+1, body))
			g.heal()
		}
		g.fail(2, faultblob.Fault{Kind: faultblob.Corrupt, Methods: []string{"get"}, Keys: "b/*"})
		if _, err := g.b.CompleteUpload(t.Context(), "k", id, parts, blob.Condition{}); !errs.Is(err, errs.Unavailable) {
			t.Errorf("complete gives %v", err)
		}
		g.heal()
		synctest.Wait()
		g.complete("k", id, parts...)
		g.wantEverywhere("k", strings.Join(bodies, ""))
	})
}

func TestAnAbortDoesNotUndoAComplete(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, id, p := begun(t, content3)
		if err := g.tryWith(id, p, "put", "h/*", 0, 1, 2); !errs.IsMaybeApplied(err) {
			t.Fatalf("a Complete that writes no head gives %v", err)
		}
		if err := g.b.AbortUpload(t.Context(), "k", id); !errs.Is(err, errs.Unavailable) || errs.Hint(err) == "" {
			t.Errorf("abort of what is half completed gives %v", err)
		}
		g.complete("k", id, p)
		wantNoUpload(t, "abort of what is completed", g.b.AbortUpload(t.Context(), "k", id))
		g.wantEverywhere("k", "parts")
	})
}

// TestACompleteAndAnAbortAtOnce: one of them wins, and it is the one that says
// so.
func TestACompleteAndAnAbortAtOnce(t *testing.T) {
	for range 200 {
		synctest.Test(t, func(t *testing.T) {
			g, id, p := begun(t, content3)
			completed, aborted := make(chan error, 1), make(chan error, 1)
			go func() {
				_, err := g.b.CompleteUpload(t.Context(), "k", id, []blob.Part{p}, blob.Condition{})
				completed <- err
			}()
			go func() { aborted <- g.b.AbortUpload(t.Context(), "k", id) }()
			completeErr, abortErr := <-completed, <-aborted
			if completeErr == nil && abortErr == nil {
				t.Error("both succeeded")
			}
			synctest.Wait()
			switch got, err := readAll(t, g.b, "k"); {
			case err != nil:
				t.Error(err)
			case completeErr == nil && got != "parts", abortErr == nil && got != "before":
				t.Errorf("complete gave %v, abort %v, and there is %q", completeErr, abortErr, got)
			}
		})
	}
}

func TestABodyLateAtOneMemberIsAddedToTheHead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, id, p := begun(t, content3)
		g.fail(1, faultblob.Fault{Kind: faultblob.Latency, Delay: 20 * time.Second, Methods: []string{"complete_upload"}})
		began := time.Now()
		g.complete("k", id, p)
		if took := time.Since(began); took > time.Second {
			t.Errorf("complete took %s", took)
		}
		time.Sleep(time.Minute)
		h, err := g.b.read(t.Context(), "k")
		if err != nil || len(h.Have) != 3 {
			t.Errorf("the head names %q, %v", h.Have, err)
		}
	})
}

func TestAnUploadBegunLateAtOneMemberIsAbortedThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTrio(t, content3, 0)
		g.fail(1, faultblob.Fault{Kind: faultblob.Latency, Delay: 5 * time.Second, Methods: []string{"create_upload"}})
		id := g.create("k")
		time.Sleep(time.Minute)
		if all, err := g.stores[1].heads.ListUploads(t.Context(), ""); len(all) > 0 || err != nil {
			t.Errorf("%d uploads, %v; want none", len(all), err)
		}
		g.complete("k", id, g.part("k", id, 1, "parts"))
		g.wantBody("k", "parts")
	})
}

// TestMembersLeftOutKeepNoParts: storage of parts costs as much as of objects.
func TestMembersLeftOutKeepNoParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, id, _ := begun(t, content3)
		g.down(2)
		p := g.part("k", id, 1, "other")
		g.heal()
		g.complete("k", id, p)
		synctest.Wait()
		for i, s := range g.stores {
			if all, err := s.heads.ListUploads(t.Context(), ""); len(all) > 0 || err != nil {
				t.Errorf("%s has %d uploads, %v; want none", siteNames[i], len(all), err)
			}
		}
	})
}

// TestAnObjectWhosePartsAreForgottenCanBeRead: all members put it together, and
// then nobody was left to note it. What the parts were nobody tells any more.
func TestAnObjectWhosePartsAreForgottenCanBeRead(t *testing.T) {
	for _, classes := range [][]blob.Class{content3, unique3} {
		synctest.Test(t, func(t *testing.T) {
			g := newTrio(t, classes, 0)
			id := g.create("k")
			bodies := []string{noise(blob.MinPart, 1), noise(blob.MinPart+1, 2), "end"}
			var parts []blob.Part
			for i, body := range bodies {
				parts = append(parts, g.part("k", id, i+1, body))
			}
			for i := range 3 {
				g.fail(i, faultblob.Fault{Kind: faultblob.Down, Methods: []string{"put"}, Keys: "u/*"})
			}
			if _, err := g.b.CompleteUpload(t.Context(), "k", id, parts, blob.Condition{}); !errs.Is(err, errs.Unavailable) {
				t.Fatalf("complete gives %v", err)
			}
			time.Sleep(20 * time.Second)
			g.heal()
			made := g.complete("k", id, parts...)
			if want, _ := etagOf(parts); made.ETag != want || made.Size != int64(len(strings.Join(bodies, ""))) {
				t.Errorf("complete gives %+v", made)
			}
			g.wantEverywhere("k", strings.Join(bodies, ""))
		})
	}
}
