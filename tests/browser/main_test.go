package browser_test

import (
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"
)

const patience = 30 * time.Second

// need finds what the test drives a browser with, or skips and says what is
// missing. With SPARE_BROWSER=required what is missing is a failure.
func need(t *testing.T) (node, chromium string) {
	t.Helper()
	absent := func(what string) {
		if os.Getenv("SPARE_BROWSER") == "required" {
			t.Fatalf("%s is not here, and SPARE_BROWSER=required", what)
		}
		t.Skipf("%s is not here: this test drives the console in Chromium", what)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		absent("node")
	}
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if chromium, err = exec.LookPath(name); err == nil {
			break
		}
	}
	if err != nil {
		absent("chromium")
	}
	if _, err := os.Stat("node_modules/playwright-core/package.json"); err != nil {
		absent("playwright-core (npm ci in tests/browser)")
	}
	return node, chromium
}

// starter starts all programs on one thread: the kernel ties a parent's death
// to the thread that started the child.
var starter = sync.OnceValue(func() chan<- func() {
	c := make(chan func())
	go func() {
		runtime.LockOSThread()
		for f := range c {
			f()
		}
	}()
	return c
})

// start runs a program in a process group of its own, which is gone when the
// test ends.
func start(t *testing.T, cmd *exec.Cmd) <-chan error {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	starter() <- func() { started <- cmd.Start() }
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	ended := make(chan struct{})
	go func() {
		done <- cmd.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		<-ended
	})
	return done
}

func waitFor(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if f() {
			return
		}
	}
	t.Fatalf("waited %v for %s", patience, what)
}

// freeAddress gives a loopback address outside of the ports that outgoing
// connections use.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 200 {
		addr := fmt.Sprintf("127.0.0.1:%d", 10000+rand.IntN(20000))
		if ln, err := net.Listen("tcp", addr); err == nil {
			_ = ln.Close()
			return addr
		}
	}
	t.Fatal("no free port")
	return ""
}

// build makes the program that is tested.
func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "spare")
	cmd := exec.Command("go", "build", "-o", bin, "../../cmd/spare")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}
