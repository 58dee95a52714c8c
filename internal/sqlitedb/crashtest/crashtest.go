// Package crashtest kills a writing process at random moments and leaves it to
// the test to see what became of its data. The process is the test binary
// itself, started again.
//
//	func TestMain(m *testing.M) { crashtest.Main(m, write) }
//
//	func write(dir, run string, ack func(format string, args ...any)) {
//		for n := 0; ; n++ { ...; ack("%d %d", id, n) } // what was promised
//	}
//
//	acks := crashtest.Kill(t, rng, dir, "run-1") // and now look into dir
package crashtest

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	envDir = "SPARE_CRASHTEST_DIR"
	envRun = "SPARE_CRASHTEST_RUN"
)

var seed = flag.Uint64("crashtest.seed", 0, "seed of the moments at which processes are killed; 0 = a new one")

// Write writes to dir until it is killed, and calls ack after each promise of
// durability. ack may be called from several goroutines; one call is one line.
type Write func(dir, run string, ack func(format string, args ...any))

// Main runs the tests, or write when this process is a child of [Kill].
func Main(m *testing.M, write Write) {
	dir := os.Getenv(envDir)
	if dir == "" {
		os.Exit(m.Run())
	}
	go func() { // end with the parent, however that ended
		_, _ = io.Copy(io.Discard, os.Stdin)
		os.Exit(2)
	}()
	var mu sync.Mutex
	write(dir, os.Getenv(envRun), func(format string, args ...any) {
		line := fmt.Sprintf(format, args...) + "\n"
		mu.Lock()
		defer mu.Unlock()
		if _, err := os.Stdout.WriteString(line); err != nil {
			os.Exit(2)
		}
	})
	os.Exit(2) // it must not end by itself
}

// Rand gives the randomness of a test and prints its seed when the test fails.
func Rand(t *testing.T) *rand.Rand {
	t.Helper()
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("give -crashtest.seed=%d to have the same moments again", s)
		}
	})
	return rand.New(rand.NewPCG(s, 0))
}

// Kill starts a child that writes to dir, kills it with SIGKILL, and gives the
// promises that it made. The kill comes some random time after the first
// promise or, one time in four, after the start: then there may be none.
func Kill(t *testing.T, rng *rand.Rand, dir, run string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), envDir+"="+dir, envRun+"="+run)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdin, err := cmd.StdinPipe() // held open while this process lives
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stdin.Close() }()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	early := rng.IntN(4) == 0
	patience := time.Duration(rng.Int64N(int64(40 * time.Millisecond)))
	kill := func() { time.AfterFunc(patience, func() { _ = cmd.Process.Kill() }) }
	if early {
		kill()
		kill = func() {}
	}
	acks := readUntilKilled(stdout, kill)
	err = cmd.Wait()
	var exit *exec.ExitError
	if len(acks) == 0 && !early || !errors.As(err, &exit) || exit.ExitCode() != -1 {
		t.Fatalf("run %s: %d promises, then %v; want some, then a kill\n%s", run, len(acks), err, stderr.Bytes())
	}
	return acks
}

// readUntilKilled gives the whole lines that came through before the end, and
// calls kill after the first.
func readUntilKilled(stdout io.Reader, kill func()) []string {
	var acks []string
	r := bufio.NewReader(stdout)
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return acks
		}
		if len(acks) == 0 {
			kill()
		}
		acks = append(acks, strings.TrimSuffix(line, "\n"))
	}
}
