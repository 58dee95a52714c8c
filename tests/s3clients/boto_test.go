package s3clients_test

import (
	_ "embed"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

//go:embed testdata/boto.py
var botoScript string

func TestBoto3(t *testing.T) {
	w := newWorld(t, "python3")
	python := ""
	for _, p := range []string{"/usr/bin/python3", "python3"} { // packages go to the first, whatever comes first in PATH
		if exec.Command(p, "-c", "import boto3").Run() == nil {
			python = p
		}
	}
	if python == "" {
		missing(t, "boto3")
	}
	src := w.files("src")
	script := filepath.Join(w.home, "boto.py")
	if err := os.WriteFile(script, []byte(botoScript), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Log(w.run(python, script, w.url, filepath.Join(src, "large.bin")))
	w.sound()
}
