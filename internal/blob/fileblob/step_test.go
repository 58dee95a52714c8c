package fileblob

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/sqlitedb/crashtest"
)

// An operation is one change of the object "dir/k", with the state that it
// starts from. It ends as if it had never begun, or done; what else it moves
// about is the same before and after.
type operation struct {
	name    string
	prepare func(t *testing.T, d *Driver) (given string)
	do      func(ctx context.Context, d *Driver, given string) error
	old     string // body before; "" = none
	new     string // body after; "" = none
	seen    string // the step behind which the new state is seen
}

const (
	stepKey = "dir/k"
	oldBody = "the old body"
	newBody = "the new body, which is longer"
)

var operations = []operation{
	{name: "put", do: putNew, new: newBody, seen: "rename body"},
	{name: "overwrite", prepare: putOld, do: putNew, old: oldBody, new: newBody, seen: "rename body"},
	{name: "overwrite of a file of others", prepare: copyOld, do: putNew, old: oldBody, new: newBody, seen: "rename body"},
	{name: "overwrite beside a folder", prepare: putOldAside, do: putNew, old: oldBody, new: newBody, seen: "rename body"},
	{name: "delete", prepare: putOld, do: deleteKey, old: oldBody, seen: "remove body"},
	{name: "delete beside a folder", prepare: putOldAside, do: deleteKey, old: oldBody, seen: "remove body"},
	{name: "put below the object", prepare: putOld, do: putBelow, old: oldBody, new: oldBody, seen: "rename body"},
	{name: "copy", prepare: putSource, do: copyNew, new: newBody, seen: "rename body"},
	{name: "complete", prepare: begin, do: complete, old: oldBody, new: newBody, seen: "rename body"},
	{name: "part", prepare: beginEmpty, do: sendPart, old: oldBody, new: oldBody},
	{name: "abort", prepare: begin, do: abort, old: oldBody, new: oldBody},
}

func operationOf(name string) operation {
	return operations[slices.IndexFunc(operations, func(o operation) bool { return o.name == name })]
}

func putBody(ctx context.Context, d *Driver, key, body string) error {
	_, err := d.Put(ctx, key, strings.NewReader(body), int64(len(body)), blob.PutOptions{Meta: map[string]string{"body": shown(body)}})
	return err
}

func putNew(ctx context.Context, d *Driver, _ string) error { return putBody(ctx, d, stepKey, newBody) }

func putBelow(ctx context.Context, d *Driver, _ string) error {
	return putBody(ctx, d, stepKey+"/below", "below")
}

func deleteKey(ctx context.Context, d *Driver, _ string) error {
	return d.Delete(ctx, stepKey, blob.DeleteOptions{})
}

func copyNew(ctx context.Context, d *Driver, _ string) error {
	_, err := d.Copy(ctx, stepKey, d, "source", blob.CopyOptions{})
	return err
}

func complete(ctx context.Context, d *Driver, id string) error {
	parts, _, err := d.ListParts(ctx, stepKey, id, 0, 0)
	if err == nil {
		_, err = d.CompleteUpload(ctx, stepKey, id, parts, blob.Condition{})
	}
	return err
}

func abort(ctx context.Context, d *Driver, id string) error { return d.AbortUpload(ctx, stepKey, id) }

func sendPart(ctx context.Context, d *Driver, id string) error {
	_, err := d.UploadPart(ctx, stepKey, id, 1, strings.NewReader("part"), 4)
	return err
}

func putOld(t *testing.T, d *Driver) string {
	mustPut(t, d, stepKey, oldBody)
	return ""
}

func putOldAside(t *testing.T, d *Driver) string {
	mustPut(t, d, stepKey+"/below", "below")
	return putOld(t, d)
}

func putSource(t *testing.T, d *Driver) string {
	mustPut(t, d, "source", newBody)
	return ""
}

func copyOld(t *testing.T, d *Driver) string {
	if err := os.MkdirAll(filepath.Join(d.dir, "dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(d.dir, stepKey), []byte(oldBody), 0o644); err != nil {
		t.Fatal(err)
	}
	return ""
}

func beginEmpty(t *testing.T, d *Driver) string {
	putOld(t, d)
	id, err := d.CreateUpload(t.Context(), stepKey, blob.PutOptions{Meta: map[string]string{"body": shown(newBody)}})
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func begin(t *testing.T, d *Driver) string {
	id := beginEmpty(t, d)
	for i, b := range []string{newBody[:10], newBody[10:]} {
		if _, err := d.UploadPart(t.Context(), stepKey, id, i+1, strings.NewReader(b), int64(len(b))); err != nil {
			t.Fatal(err)
		}
	}
	return id
}

// prepared makes a bucket in the operation's first state.
func (o operation) prepared(t *testing.T) (d *Driver, given string) {
	t.Helper()
	d = open(t, t.TempDir())
	mustPut(t, d, "dir/bystander", "bystander") // keeps dir from being removed, and must be there at the end
	if o.prepare != nil {
		given = o.prepare(t, d)
	}
	return d, given
}

// steps gives the steps of an operation, in their order.
func (o operation) steps(t *testing.T) []string {
	t.Helper()
	d, given := o.prepared(t)
	var steps []string
	d.fault = func(step string) error {
		steps = append(steps, step)
		return nil
	}
	if err := o.do(t.Context(), d, given); err != nil {
		t.Fatal(err)
	}
	d.fault = nil
	o.wantState(t, d, true)
	return steps
}

// wantState checks that the bucket is in the operation's last state, or in its
// first: the right bytes with their own attributes, in every way to ask.
func (o operation) wantState(t *testing.T, d *Driver, done bool) {
	t.Helper()
	want := map[bool]string{false: o.old, true: o.new}[done]
	got, obj, err := tryGet(t, d, stepKey)
	switch {
	case want == "" && !errs.Is(err, errs.NotFound):
		t.Errorf("the object holds %q, %v; want none", got, err)
	case want != "" && (err != nil || got != want):
		t.Errorf("the object holds %q, %v; want %q", got, err, want)
	case want != "" && obj.Meta["body"] != "" && obj.Meta["body"] != shown(want):
		t.Errorf("the object %q has the attributes of another: %+v", got, obj)
	case want != "" && obj.Meta["body"] == "" && o.name != "overwrite of a file of others":
		t.Errorf("the object %q has lost its attributes: %+v", got, obj)
	}
	listed := slices.Contains(listKeys(t, d, blob.ListOptions{}), stepKey)
	if listed != (want != "") {
		t.Errorf("the object is listed: %v", listed)
	}
	if got := mustGet(t, d, "dir/bystander"); got != "bystander" {
		t.Errorf("another object holds %q", got)
	}
}

// The order is what DESIGN.md promises; a change here is a change there.
func TestStepsComeInTheirOrder(t *testing.T) {
	body := []string{"create body", "write body", "stamp body", "sync body"}
	commit := []string{"check", "write record", "rename record", "sync record", "rename body", "sync folder"}
	for name, want := range map[string][]string{
		"put":                  slices.Concat(body, commit),
		"overwrite":            slices.Concat(body, commit),
		"delete":               {"check", "remove body", "sync folder", "drop record"},
		"put below the object": slices.Concat(body, []string{"make folder", "move aside"}, commit),
		"copy":                 slices.Concat(body, commit),
		"complete":             slices.Concat(body[:2], body[1:], commit, []string{"end upload"}), // two parts
		"part":                 append(slices.Clone(body), "rename part"),
		"abort":                {"end upload"},
	} {
		if got := operationOf(name).steps(t); !slices.Equal(got, want) {
			t.Errorf("%s: steps %q, want %q", name, got, want)
		}
	}
}

func TestFailedStepLeavesTheOldObjectOrTheNewOne(t *testing.T) {
	for _, o := range operations {
		for i, step := range o.steps(t) {
			causes := []syscall.Errno{syscall.ENOSPC, syscall.EIO, syscall.EROFS}
			if o.name != "put" { // all of them for one, one of them for all
				causes = causes[i%3 : i%3+1]
			}
			for _, cause := range causes {
				t.Run(fmt.Sprintf("%s/%d %s/%d", o.name, i, step, cause), func(t *testing.T) { testFailedStep(t, o, i, cause) })
			}
		}
	}
}

func testFailedStep(t *testing.T, o operation, fail int, cause syscall.Errno) {
	d, given := o.prepared(t)
	n, seen := 0, false
	var at string
	d.fault = func(step string) error {
		if n++; n == fail+1 {
			at = step
			return cause
		}
		seen = seen || step == o.seen && at == ""
		return nil
	}
	err := o.do(t.Context(), d, given)
	d.fault = nil
	switch {
	case at == "drop record" || at == "end upload" && seen:
		if err != nil {
			t.Errorf("what comes when all is done made it fail: %v", err)
		}
	case err == nil:
		t.Error("it succeeded")
	case !errors.Is(err, cause) || cause == syscall.ENOSPC && !errors.Is(err, blob.ErrFull) || cause == syscall.EROFS && !errs.Is(err, errs.Denied):
		t.Errorf("got %v", err)
	case errs.IsMaybeApplied(err) != seen:
		t.Errorf("got %v; the new state is seen: %v", err, seen)
	}
	o.wantState(t, d, seen)
	o.wantClean(t, d)
	if seen || o.name == "abort" {
		return
	}
	if err := o.do(t.Context(), d, given); err != nil {
		t.Errorf("again: %v", err)
	}
	o.wantState(t, d, true)
}

// wantClean checks that a failure left nothing behind: no temporary file, no
// folder that is empty, no attributes without an object.
func (o operation) wantClean(t *testing.T, d *Driver) {
	t.Helper()
	if names := fileNames(t, filepath.Join(d.dir, metaDir, tempDir)); len(names) != 0 {
		t.Errorf("temporary files: %q", names)
	}
	records := 0
	err := filepath.WalkDir(d.dir, func(path string, e os.DirEntry, err error) error {
		if err != nil || !e.IsDir() {
			if strings.Contains(path, filepath.Join(metaDir, attrsDir)) && !strings.HasSuffix(path, md5Suffix) {
				records++
			}
			return err
		}
		if rest, _ := filepath.Rel(d.dir, path); !strings.HasPrefix(rest, metaDir) && len(fileNames(t, path)) == 0 {
			t.Errorf("empty folder %s", rest)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	objects := len(listKeys(t, d, blob.ListOptions{}))
	if strings.HasPrefix(o.name, "delete") {
		objects++ // one that could not be dropped
	}
	if records > objects {
		t.Errorf("%d records of attributes for %d objects", records, objects)
	}
}

// TestKillAtEveryStep kills a process with SIGKILL right before each step of
// each operation.
func TestKillAtEveryStep(t *testing.T) {
	for _, o := range operations {
		steps := o.steps(t)
		for i, step := range steps {
			t.Run(fmt.Sprintf("%s/%d %s", o.name, i, step), func(t *testing.T) {
				d, given := o.prepared(t)
				dies(t, d.dir, fmt.Sprintf("step|%s|%d|%s", o.name, i, given))
				// Only what lies before the step has happened.
				o.wantState(t, d, slices.Contains(steps[:i], o.seen))
				if o.name == "abort" || o.name == "delete" && i > 1 {
					return
				}
				if err := o.do(t.Context(), d, given); err != nil {
					t.Errorf("again: %v", err)
				}
				o.wantState(t, d, true)
			})
		}
	}
}

func TestMain(m *testing.M) { crashtest.Main(m, child) }

// child is what a process does that is started to be killed.
func child(dir, run string, ack func(string, ...any)) {
	word := strings.Split(run, "|")
	d, err := Open(dir, Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	switch word[0] {
	case "step":
		dieAt(d, word[1], word[2], word[3])
	case "race":
		raceUntilKilled(d, word[1], ack)
	case "write":
		writeUntilKilled(d, word[1], word[2], ack)
	}
}

// dieAt does an operation and kills this process before one of its steps.
func dieAt(d *Driver, name, step, given string) {
	n := 0
	d.fault = func(string) error {
		if fmt.Sprint(n) == step {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
		n++
		return nil
	}
	fmt.Fprintln(os.Stderr, "it did not die:", operationOf(name).do(context.Background(), d, given))
}
