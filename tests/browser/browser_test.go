// Package browser drives the console in a real browser.
package browser_test

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestConsoleInChromium runs console.mjs against a running Spare. Each line of
// it that begins with "ok" or "not ok" is a step. SPARE_SHOTS names a folder
// for screenshots.
func TestConsoleInChromium(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser is not short")
	}
	node, chromium := need(t)
	w := newWorld(t)
	cmd := exec.Command(node, "console.mjs")
	cmd.Env = append(os.Environ(), "SPARE_CONSOLE=http://"+w.api, "SPARE_TOKEN="+w.token, "SPARE_CONTROL="+w.control,
		"SPARE_CHROMIUM="+chromium, "SPARE_PROFILE="+t.TempDir())
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	done := start(t, cmd)
	kill := time.AfterFunc(4*time.Minute, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	steps := 0
	for lines := bufio.NewScanner(out); lines.Scan(); {
		switch line := lines.Text(); {
		case strings.HasPrefix(line, "ok "):
			steps++
			t.Log(line)
		case strings.HasPrefix(line, "not ok "):
			t.Error(line)
		default:
			t.Log(line)
		}
	}
	if err := <-done; err != nil {
		t.Errorf("console.mjs: %v", err)
	}
	if steps < 10 {
		t.Errorf("only %d steps were done", steps)
	}
}
