// Package robustness checks Spare from outside, as a stranger would: the real
// binary, other people's servers as origins (nginx, node, HAProxy), real
// signals, and a load generator that keeps a ledger of its own and repeats
// nothing. Nothing here knows Spare's insides; what is known comes from its
// answers, its API, its command line and /proc.
//
//	go test ./tests/robustness                    # under three minutes
//	SPARE_NIGHTLY=1 go test -timeout 30m ./tests/robustness
//	SPARE_SEED=7 go test -run Record ./tests/robustness
//
// README.md beside this file lists what was found.
package robustness_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// patience bounds every wait; only a broken program reaches it.
const patience = 20 * time.Second

var (
	binary  string // Spare, built once
	scratch string // removed at the end
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
	dir, err := os.MkdirTemp("", "spare-rb-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	scratch, binary = dir, filepath.Join(dir, "spare")
	if out, err := build(binary); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
		return 1
	}
	fmt.Println("seed", seed)
	return m.Run()
}

func build(to string, flags ...string) ([]byte, error) {
	args := append([]string{"build", "-o", to}, flags...)
	cmd := exec.Command("go", append(args, "./cmd/spare")...)
	cmd.Dir = filepath.Join("..", "..")
	return cmd.CombinedOutput()
}

var buildRace = sync.OnceValues(func() (string, error) {
	to := filepath.Join(scratch, "spare-race")
	out, err := build(to, "-race")
	if err != nil {
		err = fmt.Errorf("%w: %s", err, out)
	}
	return to, err
})

// raceBinary gives Spare built with the race detector.
func raceBinary(t *testing.T) string {
	t.Helper()
	path, err := buildRace()
	if err != nil {
		t.Skipf("no race detector on this machine: %v", err)
	}
	return path
}

// random gives the test's source of chance, whose seed every run prints.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
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
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("waited in vain for %s", what)
}
