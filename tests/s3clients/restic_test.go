package s3clients_test

import (
	"os"
	"path/filepath"
	"testing"
)

func TestRestic(t *testing.T) {
	w := newWorld(t, "restic")
	w.env = append(w.env, "RESTIC_REPOSITORY=s3:"+w.url+"/media/backup", "RESTIC_PASSWORD=pass", "RESTIC_CACHE_DIR="+filepath.Join(w.home, "cache"))
	src, dst := w.files("src"), filepath.Join(w.home, "dst")
	w.run("restic", "init")
	w.run("restic", "backup", src)
	if err := os.Remove(filepath.Join(src, "one")); err != nil {
		t.Fatal(err)
	}
	w.run("restic", "backup", src)
	w.run("restic", "check", "--read-data")
	w.run("restic", "restore", "latest", "--target", dst)
	same(t, src, filepath.Join(dst, src))
	w.run("restic", "forget", "--keep-last", "1", "--prune")
	w.run("restic", "check", "--read-data")
	w.sound()
}
