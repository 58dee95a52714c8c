// Package objects_test checks replicated buckets from outside: the real binary,
// other people's S3 servers as providers, real signals, and a history of every
// operation that is checked for linearizability (porcupine), key by key.
//
//	go test ./tests/objects                       # about a minute
//	SPARE_NIGHTLY=1 go test -timeout 2h ./tests/objects
//	SPARE_SEED=7 go test -run Histories ./tests/objects
package objects_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// patience bounds every wait; only a broken program reaches it.
const patience = 2 * time.Minute

var (
	binary  string // Spare, built once
	seed    = uint64(time.Now().UnixNano())
	nightly = os.Getenv("SPARE_NIGHTLY") == "1"
)

func TestMain(m *testing.M) {
	flag.Parse()
	os.Exit(runAll(m))
}

func runAll(m *testing.M) int {
	if n, err := strconv.ParseUint(os.Getenv("SPARE_SEED"), 10, 64); err == nil {
		seed = n
	}
	dir, err := os.MkdirTemp("", "spare-obj-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary = filepath.Join(dir, "spare")
	build := exec.Command("go", "build", "-o", binary, "./cmd/spare")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	fmt.Println("seed", seed)
	return m.Run()
}

// rounds is how often a thing of chance is tried.
func rounds(fast, night int) int {
	if nightly {
		return night
	}
	return fast
}

// waitFor waits until ok says true.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if ok() {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Fatalf("waited in vain for %s", what)
}
