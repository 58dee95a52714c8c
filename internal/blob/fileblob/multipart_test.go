package fileblob

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// begun begins an upload of two parts.
func begun(t *testing.T, d *Driver, key string) (id string, parts []blob.Part) {
	t.Helper()
	id, err := d.CreateUpload(t.Context(), key, blob.PutOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for i, text := range []string{"first ", "second"} {
		p, err := d.UploadPart(t.Context(), key, id, i+1, strings.NewReader(text), int64(len(text)))
		if err != nil {
			t.Fatal(err)
		}
		parts = append(parts, p)
	}
	return id, parts
}

func TestMultipartTagIsThatOfS3(t *testing.T) {
	d := open(t, t.TempDir())
	id, parts := begun(t, d, "k")
	o, err := d.CompleteUpload(t.Context(), "k", id, parts, blob.Condition{})
	if err != nil {
		t.Fatal(err)
	}
	var sums []byte
	for _, p := range parts {
		sum, err := hex.DecodeString(p.ETag)
		if err != nil {
			t.Fatal(err)
		}
		sums = append(sums, sum...)
	}
	if want := md5Of(string(sums)) + "-2"; o.ETag != want || o.Parts != 2 {
		t.Errorf("ETag %s of %d parts, want %s of 2", o.ETag, o.Parts, want)
	}
	c, err := d.Copy(t.Context(), "copy", d, "k", blob.CopyOptions{})
	if err != nil || c.ETag != md5Of("first second") || c.Parts != 0 {
		t.Errorf("the copy: %+v, %v", c, err)
	}
}

func TestCompleteAgainSucceedsWhileItsObjectIsThere(t *testing.T) {
	d := open(t, t.TempDir())
	id, parts := begun(t, d, "k")
	absent := blob.Condition{Absent: true}
	first, err := d.CompleteUpload(t.Context(), "k", id, parts, absent)
	if err != nil {
		t.Fatal(err)
	}
	again, err := d.CompleteUpload(t.Context(), "k", id, parts, absent)
	if err != nil || again.ETag != first.ETag || !again.Modified.Equal(first.Modified) {
		t.Errorf("again: %+v, %v; first was %+v", again, err, first)
	}
	mustPut(t, d, "k", "another")
	if _, err := d.CompleteUpload(t.Context(), "k", id, parts, blob.Condition{}); !errors.Is(err, blob.ErrNoUpload) {
		t.Errorf("after another write: %v", err)
	}
	if got := mustGet(t, d, "k"); got != "another" {
		t.Errorf("got %q", got)
	}
}

func TestAbortDuringCompleteWinsOrLosesWhole(t *testing.T) {
	for _, step := range []string{"write body", "sync body", "check", "sync folder"} {
		d := open(t, t.TempDir())
		other := open(t, d.dir)
		id, parts := begun(t, d, "k")
		aborted := make(chan error, 1)
		d.fault = func(now string) error {
			if now == step {
				d.fault = nil
				go func() { aborted <- other.AbortUpload(context.Background(), "k", id) }()
				time.Sleep(20 * time.Millisecond)
			}
			return nil
		}
		_, err := d.CompleteUpload(t.Context(), "k", id, parts, blob.Condition{})
		abortErr := <-aborted
		if completed := err == nil; completed == (abortErr == nil) {
			t.Errorf("abort at %q: %v, complete: %v", step, abortErr, err)
		} else if _, _, err := tryGet(t, d, "k"); (err == nil) != completed {
			t.Errorf("abort at %q: completed %v, get says %v", step, completed, err)
		}
	}
}

func TestDeclaredChecksumsOfPartsAreChecked(t *testing.T) {
	d := open(t, t.TempDir())
	sum := func(text string) string {
		s := sha256.Sum256([]byte(text))
		return base64.StdEncoding.EncodeToString(s[:])
	}
	id, parts := begun(t, d, "k")
	parts[0].Sums, parts[1].Sums = blob.Sums{"SHA256": sum("first ")}, blob.Sums{"SHA256": sum("other"), "CRC32": ""}
	_, err := d.CompleteUpload(t.Context(), "k", id, parts, blob.Condition{})
	if !errors.Is(err, blob.ErrDigest) || !errs.Is(err, errs.Invalid) {
		t.Errorf("a wrong checksum: %v", err)
	}
	parts[1].Sums = blob.Sums{"SHA256": sum("second")}
	o, err := d.CompleteUpload(t.Context(), "k", id, parts, blob.Condition{})
	if err != nil {
		t.Fatal(err)
	}
	a, b := sha256.Sum256([]byte("first ")), sha256.Sum256([]byte("second"))
	if want := sum(string(slices.Concat(a[:], b[:]))) + "-2"; o.Sums["SHA256"] != want || len(o.Sums) != 1 {
		t.Errorf("checksums %v, want SHA256 %s", o.Sums, want)
	}
}

// The check values of the algorithms for "123456789", from their
// specifications and catalogues of CRCs.
func TestChecksumAlgorithmsAreThoseOfS3(t *testing.T) {
	for name, want := range map[string]string{
		"CRC32": "cbf43926", "CRC32C": "e3069283", "CRC64NVME": "ae8b14860a799888",
		"SHA1":   "f7c3bc1d808e04732adf679965ccc34ca7ae3441",
		"SHA256": "15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225",
	} {
		h := algorithms[name]()
		_, _ = h.Write([]byte("123456789"))
		if got := hex.EncodeToString(h.Sum(nil)); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestUploadIDsAreNoPaths(t *testing.T) {
	d := open(t, t.TempDir())
	mustPut(t, d, "k", "body")
	for _, id := range []string{"", ".", "..", "../upload", "../../k", "../lock", strings.Repeat("x", 32), strings.Repeat("A", 32)} {
		if err := d.AbortUpload(t.Context(), "k", id); !errors.Is(err, blob.ErrNoUpload) {
			t.Errorf("upload %q: %v", id, err)
		}
	}
}

// A write that is seen but not flushed yet could be taken back by a loss of
// power: nobody may read it until it is flushed.
func TestReadersWaitUntilAWriteIsDurable(t *testing.T) {
	d := open(t, t.TempDir())
	other := open(t, d.dir) // as another process
	mustPut(t, d, "k", "old")
	seen, flush := make(chan struct{}), make(chan struct{})
	d.fault = func(step string) error {
		if step == "sync folder" {
			close(seen)
			<-flush
		}
		return nil
	}
	written := make(chan error)
	go func() { written <- putBody(context.Background(), d, "k", "new") }()
	<-seen
	for what, reader := range map[string]*Driver{"in this process": d, "in another": other} {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		if o, err := reader.Head(ctx, "k"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a reader %s was given %+v, %v", what, o, err)
		}
		if err := putBody(ctx, reader, "k", "newer"); !errors.Is(err, context.DeadlineExceeded) || errs.IsMaybeApplied(err) {
			t.Errorf("a writer %s: %v", what, err)
		}
		cancel()
	}
	close(flush)
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if got := mustGet(t, other, "k"); got != "new" {
		t.Errorf("got %q", got)
	}
}
