package s3clients_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAWSCommandLine(t *testing.T) {
	w := newWorld(t, "aws")
	src, dst := w.files("src"), filepath.Join(w.home, "dst")
	if out := w.run("aws", "s3", "ls"); !strings.Contains(out, "media") {
		t.Fatalf("ls: %s", out)
	}
	w.run("aws", "s3", "sync", src, "s3://media/tree/") // large.bin goes in parts
	if out := w.run("aws", "s3", "sync", src, "s3://media/tree/"); strings.Contains(out, "upload:") {
		t.Errorf("a second sync sent again: %s", out)
	}
	w.run("aws", "s3", "sync", "s3://media/tree/", dst)
	same(t, src, dst)
	if out := w.run("aws", "s3", "ls", "--recursive", "s3://media/tree/"); strings.Count(out, "\n") != len(tree(t, src)) {
		t.Errorf("ls --recursive: %s", out)
	}
	w.run("aws", "s3", "cp", "s3://media/tree/large.bin", "s3://media/copy.bin") // parts copied
	w.run("aws", "s3", "cp", "s3://media/copy.bin", filepath.Join(w.home, "copy.bin"))
	w.run("aws", "s3", "mv", "s3://media/tree/one", "s3://media/moved")
	if b, _ := os.ReadFile(filepath.Join(src, "large.bin")); string(b) != slurp(t, filepath.Join(w.home, "copy.bin")) {
		t.Error("the copy is another")
	}
	w.run("aws", "s3api", "head-object", "--bucket", "media", "--key", "moved", "--checksum-mode", "ENABLED")
	if out := w.run("aws", "s3api", "get-object", "--bucket", "media", "--key", "tree/edge.bin", "--range", "bytes=5-9", filepath.Join(w.home, "part")); !strings.Contains(out, `"ContentLength": 5`) {
		t.Errorf("range: %s", out)
	}
	url := strings.TrimSpace(w.run("aws", "s3", "presign", "s3://media/moved", "--expires-in", "60"))
	if status, body := fetch(t, url); status != 200 || len(body) != 1 {
		t.Errorf("presigned: %d, %d bytes", status, len(body))
	}
	w.run("aws", "s3", "rm", "--recursive", "s3://media/")
	if keys := w.keys(); len(keys) != 0 {
		t.Errorf("left: %q", keys)
	}
	w.sound()
	if out, err := w.try("aws", "s3", "mb", "s3://another"); err == nil || !strings.Contains(out, "AccessDenied") {
		t.Errorf("made a bucket that it may not know of: %v %s", err, out)
	}
	if out, err := w.try("aws", "s3api", "put-object", "--bucket", "media", "--key", "k", "--tagging", "a=b"); err == nil || !strings.Contains(out, "NotImplemented") {
		t.Errorf("tagging: %v %s", err, out)
	}
}

func slurp(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
