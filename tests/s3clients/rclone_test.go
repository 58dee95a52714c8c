package s3clients_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRclone(t *testing.T) {
	w := newWorld(t, "rclone")
	for name, value := range map[string]string{
		"TYPE": "s3", "PROVIDER": "Other", "ACCESS_KEY_ID": accessKey, "SECRET_ACCESS_KEY": secretKey, "ENDPOINT": w.url, "CHUNK_SIZE": "5M", "UPLOAD_CUTOFF": "10M",
	} {
		w.env = append(w.env, "RCLONE_CONFIG_SPARE_"+name+"="+value)
	}
	conf := filepath.Join(w.home, "rclone.conf")
	if err := os.WriteFile(conf, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w.env = append(w.env, "RCLONE_CONFIG="+conf, "RCLONE_RETRIES=1", "RCLONE_LOW_LEVEL_RETRIES=1")
	src, dst := w.files("src"), filepath.Join(w.home, "dst")
	w.run("rclone", "sync", src, "spare:media/tree")
	w.run("rclone", "check", "--download", src, "spare:media/tree")
	w.run("rclone", "check", src, "spare:media/tree")
	if out := w.run("rclone", "sync", "-v", src, "spare:media/tree"); strings.Contains(out, "Copied") {
		t.Errorf("a second sync sent again: %s", out)
	}
	w.run("rclone", "copy", "spare:media/tree", "spare:media/other") // server side
	w.run("rclone", "move", "spare:media/other", dst)
	same(t, src, dst)
	if out := w.run("rclone", "lsf", "-R", "--files-only", "spare:media"); strings.Count(out, "\n") != len(tree(t, src)) {
		t.Errorf("lsf: %s", out)
	}
	if out := w.run("rclone", "lsf", "spare:media"); out != "tree/\n" {
		t.Errorf("lsf: %q", out)
	}
	w.run("rclone", "purge", "spare:media/tree")
	if keys := w.keys(); len(keys) != 0 {
		t.Errorf("left: %q", keys)
	}
	w.sound()
}
