package cli

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A real bash reads the script and completes the name of a service with it.
// TestMain puts the program on the PATH.
func TestBashCompletesServicesOfTheEstateFile(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash on this machine")
	}
	dir := t.TempDir()
	var script bytes.Buffer
	if code := execute(t.Context(), Options{}, []string{"completion", "bash"}, &script, os.Stderr); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("completion", script.String())
	if out, err := exec.CommandContext(t.Context(), bash, "-n", filepath.Join(dir, "completion")).CombinedOutput(); err != nil {
		t.Fatalf("the script does not parse: %v\n%s", err, out)
	}
	write("spare.yaml", "version: 1\nsites: {a: {provider: x, region: r}}\nservices: {shop: {origins: {a: {url: \"http://127.0.0.1:1\"}}}, blog: {hosts: [b], origins: {a: {url: \"http://127.0.0.1:1\"}}}}\n")
	for _, tt := range []struct{ line, want string }{
		{"spare service drain ", "blog shop"},
		{"spare service drain sh", "shop"},
		{"spare service drain shop ", "a"},
		{"spare incident re", "report"},
	} {
		if got := complete(t, bash, dir, tt.line); got != tt.want {
			t.Errorf("%q completes to %q, want %q", tt.line, got, tt.want)
		}
	}
}

// complete asks bash what may stand at the end of the line, as its readline
// would.
func complete(t *testing.T, bash, dir, line string) string {
	t.Helper()
	const ask = `# Of the package bash-completion the script needs this.
_get_comp_words_by_ref() { words=("${COMP_WORDS[@]}") cword=$COMP_CWORD cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}; }
source ./completion
COMP_LINE=$1 COMP_POINT=${#1} COMP_TYPE=9 COMP_KEY=9
read -ra COMP_WORDS <<<"$1"
[[ $1 == *' ' ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
compopt() { :; }   # works in a completion alone
__start_spare
for w in "${COMPREPLY[@]}"; do set -- $w; echo "$1"; done | sort | paste -sd' '`
	cmd := exec.CommandContext(t.Context(), bash, "--norc", "-c", ask, "bash", line)
	cmd.Dir = dir
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 { // on a terminal it would stand in the middle of the line
		t.Errorf("%q: %v\n%s", line, err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}
