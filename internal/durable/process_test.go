package durable_test

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/durable"
	"github.com/sparecloud/spare/internal/errs"
)

// The test binary plays other processes when this variable names a role.
const roleVariable = "DURABLE_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleVariable) {
	case "":
		os.Exit(m.Run())
	case "saver":
		saveForever(os.Args[1])
	case "full":
		saveOnFullDisk(os.Args[1])
	case "locker":
		lockAndWait(os.Args[1])
	}
}

func child(t *testing.T, role, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0], path)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	return cmd
}

// generation is a payload that carries its number; its length varies.
func generation(n int) []byte {
	return fmt.Appendf(nil, "%d\n%s", n, bytes.Repeat([]byte{byte(n)}, n%7000))
}

// saveForever saves one generation after the other and says so after each.
func saveForever(path string) {
	first := 1
	if l, err := durable.Load(path); err == nil {
		first = number(l.Payload) + 1
	}
	for n := first; ; n++ {
		if err := durable.Save(path, generation(n)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(n)
	}
}

func number(payload []byte) int {
	head, _, _ := strings.Cut(string(payload), "\n")
	n, err := strconv.Atoi(head)
	if err != nil {
		return -1
	}
	return n
}

func TestAcknowledgedSavesSurviveKill(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0))
	path := filepath.Join(t.TempDir(), "f")
	rounds := 25
	if testing.Short() {
		rounds = 5
	}
	for round := range rounds {
		acked := killSaver(t, path, time.Duration(random.IntN(30))*time.Millisecond)
		l, err := durable.Load(path)
		if err != nil {
			t.Fatalf("seed %d, round %d: %v", seed, round, err)
		}
		got := number(l.Payload)
		// One Save beyond the last acknowledged one may have been done.
		if got != acked && got != acked+1 {
			t.Fatalf("seed %d, round %d: loaded generation %d, acknowledged %d", seed, round, got, acked)
		}
		if !bytes.Equal(l.Payload, generation(got)) {
			t.Fatalf("seed %d, round %d: generation %d is mixed with another", seed, round, got)
		}
	}
}

// killSaver lets a saver run, kills it some time after its first save, and
// gives the last generation that it reported.
func killSaver(t *testing.T, path string, after time.Duration) int {
	t.Helper()
	cmd := child(t, "saver", path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	acked, started := 0, false
	for lines.Scan() {
		acked = number(lines.Bytes())
		if !started {
			started = true
			time.AfterFunc(after, func() { _ = cmd.Process.Kill() })
		}
	}
	_ = cmd.Wait() // killed, by us
	if acked == 0 {
		t.Fatal("the saver saved nothing")
	}
	return acked
}

// saveOnFullDisk saves one payload that fits and one that does not: a limit on
// the file size stands for the full disk.
func saveOnFullDisk(path string) {
	signal.Ignore(syscall.SIGXFSZ)
	limit := syscall.Rlimit{Cur: 4096, Max: 4096}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		panic(err)
	}
	if err := durable.Save(path, []byte("fits")); err != nil {
		panic(err)
	}
	err := durable.Save(path, make([]byte, 1<<16))
	fmt.Println(errs.KindOf(err))
	os.Exit(0)
}

func TestFullDiskKeepsTheCurrentGeneration(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	out, err := child(t, "full", path).Output()
	if err != nil || string(out) != "unavailable\n" {
		t.Fatalf("got %q, %v", out, err)
	}
	l, err := durable.Load(path)
	if err != nil || string(l.Payload) != "fits" || l.Fallback != nil {
		t.Fatalf("got %+v, %v", l, err)
	}
	if n := names(t, dir); len(n) != 1 {
		t.Fatalf("left behind: %v", n)
	}
}

func lockAndWait(path string) {
	l, err := durable.Lock(path)
	if err != nil {
		panic(err)
	}
	fmt.Println("locked")
	time.Sleep(time.Minute) // until killed
	runtime.KeepAlive(l)
}

func TestLockNamesItsHolderAndEndsWithIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	cmd := child(t, "locker", path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	if !bufio.NewScanner(out).Scan() {
		t.Fatal("the locker said nothing")
	}
	_, err = durable.Lock(path)
	if !errs.Is(err, errs.Conflict) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", cmd.Process.Pid)) {
		t.Fatalf("got %v", err)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	l, err := durable.Lock(path)
	if err != nil {
		t.Fatalf("after the holder's death: %v", err)
	}
	if err := l.Unlock(); err != nil {
		t.Fatal(err)
	}
}

func TestLockCanBeTakenAgainOnceReleased(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	for range 3 {
		l, err := durable.Lock(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := durable.Lock(path); !errs.Is(err, errs.Conflict) {
			t.Fatalf("second lock in one process: %v", err)
		}
		if err := l.Unlock(); err != nil {
			t.Fatal(err)
		}
	}
}
