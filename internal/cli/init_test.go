package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/sparecloud/spare/internal/config"
	"github.com/sparecloud/spare/internal/errs"
)

// ask runs the command as if a person sat before it and typed.
func ask(f *initFlags, typed string) (string, error) {
	var said bytes.Buffer
	cmd := &cobra.Command{Use: "init"}
	cmd.SetErr(&said)
	err := f.run(cmd, strings.NewReader(typed), true)
	return said.String(), err
}

func TestInitAsksOnATerminalForWhatTheFlagsDoNotSay(t *testing.T) {
	file := filepath.Join(t.TempDir(), "spare.yaml")
	f := &initFlags{file: file}
	f.answers.Service = "blog"
	said, err := ask(f, "blog.example.com\naws:us-east-1=http://10.0.0.1\nnone\n\n:8080\n/srv/spare\n")
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	e, err := config.Load(file, config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if e.Services[0].ID != "blog" || e.Services[0].Hosts[0] != "blog.example.com" || e.Listen.HTTP != ":8080" || e.Data != "/srv/spare" {
		t.Errorf("%+v", e)
	}
	if strings.Contains(said, "Name of the service") || !strings.HasSuffix(said, "next:\n  spare check "+file+"\n  spare run -c "+file+"\n") {
		t.Errorf("said %q", said)
	}
}

func TestInitWritesNothingWhenThePersonLeaves(t *testing.T) {
	file := filepath.Join(t.TempDir(), "spare.yaml")
	if _, err := ask(&initFlags{file: file}, "shop\n"); !errs.Is(err, errs.Invalid) {
		t.Errorf("%v", err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a file was written")
	}
}

func TestInitAsksNothingBeforeItKnowsThatItMayWrite(t *testing.T) {
	file := filepath.Join(t.TempDir(), "spare.yaml")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	said, err := ask(&initFlags{file: file}, "")
	if !errs.Is(err, errs.Conflict) || said != "" {
		t.Errorf("%v, said %q", err, said)
	}
	f := &initFlags{file: file}
	if err := f.write([]byte("new")); !errs.Is(err, errs.Conflict) { // it came up while a person thought
		t.Errorf("%v", err)
	}
	if b, _ := os.ReadFile(file); string(b) != "mine" {
		t.Errorf("the file is now %q", b)
	}
}

func TestFileNamesAreQuotedForTheShell(t *testing.T) {
	for in, want := range map[string]string{"a/b.yaml": "a/b.yaml", "my file": "'my file'", "it's": `'it'\''s'`, "-x": "'-x'", "": "''", "$HOME": "'$HOME'"} {
		if got := word(in); got != want {
			t.Errorf("word(%q) = %s, want %s", in, got, want)
		}
	}
}
