package fileblob

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/sqlitedb/crashtest"
)

// dies starts a child that kills itself.
func dies(t *testing.T, dir, run string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), "SPARE_CRASHTEST_DIR="+dir, "SPARE_CRASHTEST_RUN="+run)
	stdin, err := cmd.StdinPipe() // held open while this process lives
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = stdin.Close() }()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	err = cmd.Run()
	if exit := new(exec.ExitError); ctx.Err() != nil || !errors.As(err, &exit) || exit.ExitCode() != -1 {
		t.Fatalf("run %s: %v, want a kill\n%s", run, err, stderr.String())
	}
}

// keysOf gives the keys that one process alone writes. Some are objects and
// folders at once, some are odd.
func keysOf(process string) []string {
	p := "p" + process
	return []string{p + "/a", p + "/a/b", p + "/a/b/c", p, p + "/", p + "//x", p + "/" + strings.Repeat("l", 300), "flat-" + p}
}

// writeUntilKilled changes this process's keys one after the other, each by
// several goroutines' worth of kinds of writes, and one key that all processes
// write. It promises "key writes" when so many writes of the key are done.
func writeUntilKilled(d *Driver, process, seed string, ack func(string, ...any)) {
	s, err := strconv.ParseUint(seed, 10, 64)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	failed := make(chan error)
	for i, key := range keysOf(process) {
		go func() {
			rng := rand.New(rand.NewPCG(s, uint64(i)))
			for n := 1; ; n++ {
				number := s*1_000_000 + uint64(n)
				if err := writeOne(d, key, number, rng); err != nil {
					failed <- fmt.Errorf("%q: %w", key, err)
					return
				}
				ack("%d %d", i, n)
				if err := putBody(context.Background(), d, "shared", numbered("shared", number)); err != nil {
					failed <- err
					return
				}
			}
		}()
	}
	fmt.Fprintln(os.Stderr, <-failed)
}

// numbered gives a body that says of which write it is. Bodies of different
// writes may have the same length.
func numbered(key string, number uint64) string {
	line := fmt.Sprintf("%d %s\n", number, key)
	return strings.Repeat(line, 1+int(number%7)*300)
}

func writeOne(d *Driver, key string, number uint64, rng *rand.Rand) error {
	ctx, body := context.Background(), numbered(key, number)
	o := blob.PutOptions{Meta: map[string]string{"number": fmt.Sprint(number)}}
	switch rng.IntN(5) {
	case 0:
		return d.Delete(ctx, key, blob.DeleteOptions{})
	case 1:
		id, err := d.CreateUpload(ctx, key, o)
		if err != nil {
			return err
		}
		var parts []blob.Part
		for half, b := range []string{body[:len(body)/2], body[len(body)/2:]} {
			p, err := d.UploadPart(ctx, key, id, half+1, strings.NewReader(b), int64(len(b)))
			if err != nil {
				return err
			}
			parts = append(parts, p)
		}
		_, err = d.CompleteUpload(ctx, key, id, parts, blob.Condition{})
		return err
	default:
		_, err := d.Put(ctx, key, strings.NewReader(body), int64(len(body)), o)
		return err
	}
}

// state is what a key holds: the number of a write, or 0 for nothing.
type state uint64

// after gives what a key holds when so many of a process's writes are done.
func after(held state, seed uint64, i, writes int) state {
	rng := rand.New(rand.NewPCG(seed, uint64(i)))
	for n := range writes {
		if held = state(seed*1_000_000) + state(n) + 1; rng.IntN(5) == 0 {
			held = 0
		}
	}
	return held
}

func TestKillLosesNoAcknowledgedChange(t *testing.T) {
	const processes = 3
	rounds := 30
	if testing.Short() {
		rounds = 2
	}
	rng := crashtest.Rand(t)
	d := open(t, t.TempDir())
	total, held := 0, map[string]state{}
	for round := range rounds {
		acks := make([][]string, processes)
		t.Run(fmt.Sprint("round ", round), func(t *testing.T) {
			for p := range processes {
				mine := rand.New(rand.NewPCG(rng.Uint64(), 0))
				t.Run(fmt.Sprint(p), func(t *testing.T) {
					t.Parallel()
					acks[p] = crashtest.Kill(t, mine, d.dir, fmt.Sprintf("write|%d|%d", p, round+1))
				})
			}
		})
		for p := range processes {
			total += len(acks[p])
			checkProcess(t, d, held, fmt.Sprint(p), uint64(round+1), acks[p])
		}
		if body, _, err := tryGet(t, d, "shared"); err == nil && !wholeNumbered("shared", body) {
			t.Errorf("the shared object is torn: %.60q", body)
		}
		checkListing(t, d)
	}
	t.Logf("%d kills, %d promises", rounds*processes, total)
}

// checkProcess checks a process's keys against what it promised: each is as
// its last promise says, or as the write behind it makes it.
func checkProcess(t *testing.T, d *Driver, held map[string]state, process string, seed uint64, acks []string) {
	t.Helper()
	promised := map[int]int{}
	for _, ack := range acks {
		var i, n int
		if _, err := fmt.Sscan(ack, &i, &n); err != nil {
			t.Fatalf("promise %q: %v", ack, err)
		}
		promised[i] = n
	}
	for i, key := range keysOf(process) {
		var now state
		body, obj, err := tryGet(t, d, key)
		switch {
		case err == nil:
			if _, err := fmt.Sscan(body, &now); err != nil || !wholeNumbered(key, body) {
				t.Errorf("key %.20q is torn: %.60q", key, body)
			}
			if obj.Meta["number"] != fmt.Sprint(now) {
				t.Errorf("key %.20q has the bytes of write %d and the attributes of %q", key, now, obj.Meta["number"])
			}
		case !errs.Is(err, errs.NotFound):
			t.Errorf("key %.20q: %v", key, err)
		}
		last, next := after(held[key], seed, i, promised[i]), after(held[key], seed, i, promised[i]+1)
		if now != last && now != next {
			t.Errorf("promise broken: key %.20q holds write %d, promised was %d, %d may have come behind it", key, now, last, next)
		}
		held[key] = now
	}
}

func wholeNumbered(key, body string) bool {
	var number uint64
	_, err := fmt.Sscan(body, &number)
	return err == nil && body == numbered(key, number)
}

// checkListing checks that the listing says what is there, in order.
func checkListing(t *testing.T, d *Driver) {
	t.Helper()
	keys := listKeys(t, d, blob.ListOptions{})
	if !slices.IsSorted(keys) {
		t.Errorf("not in order: %q", keys)
	}
	for _, p := range []string{"0", "1", "2"} {
		for _, key := range keysOf(p) {
			_, err := d.Head(t.Context(), key)
			if slices.Contains(keys, key) != (err == nil) {
				t.Errorf("key %.20q is listed: %v, head says %v", key, err != nil, err)
			}
		}
	}
}

// raceUntilKilled creates objects that another process creates as well.
func raceUntilKilled(d *Driver, process string, ack func(string, ...any)) {
	for n := 0; ; n++ {
		key := fmt.Sprintf("race/%d", n)
		_, err := d.Put(context.Background(), key, strings.NewReader(process), 1, blob.PutOptions{If: blob.Condition{Absent: true}})
		switch {
		case err == nil:
			ack("%s", key)
		case !errs.Is(err, errs.Conflict):
			fmt.Fprintln(os.Stderr, err)
			return
		}
	}
}

func TestOfTwoProcessesOneWinsAbsent(t *testing.T) {
	const processes = 3
	rng := crashtest.Rand(t)
	d := open(t, t.TempDir())
	acks := make([][]string, processes)
	t.Run("processes", func(t *testing.T) {
		for p := range processes {
			mine := rand.New(rand.NewPCG(rng.Uint64(), 0))
			t.Run(fmt.Sprint(p), func(t *testing.T) {
				t.Parallel()
				for range 6 { // each kill is some 20 ms after the first promise
					acks[p] = append(acks[p], crashtest.Kill(t, mine, d.dir, fmt.Sprintf("race|%d", p))...)
				}
			})
		}
	})
	winner := map[string]int{}
	for p, keys := range acks {
		for _, key := range keys {
			if other, ok := winner[key]; ok {
				t.Errorf("both %d and %d created %s", other, p, key)
			}
			winner[key] = p
			if got := mustGet(t, d, key); got != fmt.Sprint(p) {
				t.Errorf("%s was created by %d and is of %q", key, p, got)
			}
		}
	}
	t.Logf("%d objects", len(winner))
}
