package robustness_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// spare is one `spare run` with its file and its folder.
type spare struct {
	t      *testing.T
	bin    string
	dir    string
	config string
	http   string
	api    string
	env    []string
	run    *process
	runs   []*process // all that were started
}

// newSpare writes an estate file with the services, which are YAML below
// "services:".
func newSpare(t *testing.T, services string) *spare {
	t.Helper()
	s := &spare{t: t, bin: binary, dir: newFolder(t), http: freeAddress(t), api: freeAddress(t)}
	s.config = filepath.Join(s.dir, "spare.yaml")
	s.write(services)
	t.Cleanup(func() {
		if t.Failed() || os.Getenv("SPARE_LOGS") == "1" {
			t.Logf("log of %s:\n%s", s.http, tail(s.log(), 8000))
		}
	})
	return s
}

func (s *spare) write(services string) {
	s.t.Helper()
	writeFile(s.t, s.config, fmt.Sprintf(`version: 1
data: data
listen: {http: %q, api: %q}
sites:
  alpha: {provider: one, region: north}
  beta: {provider: two, region: south}
services:
%s`, s.http, s.api, services))
}

func (s *spare) logPath() string { return filepath.Join(s.dir, "log") }

func (s *spare) log() []byte {
	b, _ := os.ReadFile(s.logPath())
	return b
}

func tail(b []byte, n int) []byte { return b[max(0, len(b)-n):] }

// exec starts `spare run` and does not wait.
func (s *spare) exec() {
	s.t.Helper()
	s.run = launch(s.t, s.logPath(), s.env, s.bin, "run", "-c", s.config)
	s.runs = append(s.runs, s.run)
}

// start starts it and waits until it serves and every origin has been judged.
func (s *spare) start() {
	s.t.Helper()
	s.exec()
	s.waitServing()
	waitFor(s.t, "verdicts", func() bool {
		st, err := s.status()
		return err == nil && len(st.Services) > 0 && !slices.ContainsFunc(st.Services, func(v service) bool {
			return slices.ContainsFunc(v.Origins, func(o originState) bool { return o.Verdict == "unknown" })
		})
	})
}

// startSpare is a running Spare with one service of two origins.
func startSpare(t *testing.T, a, b *origin, more string) *spare {
	t.Helper()
	s := newSpare(t, "  shop:\n"+pair(a.url(), b.url())+more)
	s.start()
	return s
}

func (s *spare) waitServing() {
	s.t.Helper()
	waitFor(s.t, "Spare to serve", func() bool { return s.serves() })
}

func (s *spare) serves() bool {
	r := once(s.http, gets(0))
	return r.err == nil && r.status == http.StatusOK
}

// timeToServe starts it and gives the time from exec to the first 200.
func (s *spare) timeToServe() time.Duration {
	s.t.Helper()
	began := time.Now()
	s.exec()
	for !s.serves() {
		if time.Since(began) > patience {
			s.t.Fatal("does not serve")
		}
		time.Sleep(time.Millisecond)
	}
	return time.Since(began)
}

// stop ends it in peace: SIGTERM to the supervisor alone.
func (s *spare) stop() {
	s.t.Helper()
	if err := syscall.Kill(s.run.pid, syscall.SIGTERM); err != nil {
		s.t.Fatal(err)
	}
	s.run.waitGone()
}

// tell sends a signal to the supervisor.
func (s *spare) tell(sig syscall.Signal) {
	s.t.Helper()
	if err := syscall.Kill(s.run.pid, sig); err != nil {
		s.t.Fatal(err)
	}
}

// child gives the newest process of the role, "data" or "control", or 0.
func (s *spare) child(role string) int {
	pid := 0
	for _, p := range s.run.members() {
		if len(p.command) > 2 && p.command[1] == "process" && p.command[2] == role {
			pid = max(pid, p.pid)
		}
	}
	return pid
}

// killChild is kill -9 of one process.
func (s *spare) killChild(role string) int {
	s.t.Helper()
	pid := s.child(role)
	if pid == 0 {
		s.t.Fatalf("there is no %s process", role)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		s.t.Fatal(err)
	}
	waitFor(s.t, role+" to be gone", func() bool { return !alive(pid) })
	return pid
}

// waitChild waits until the role is filled by another process than old.
func (s *spare) waitChild(role string, old int) {
	s.t.Helper()
	waitFor(s.t, "another "+role+" process", func() bool { pid := s.child(role); return pid != 0 && pid != old })
}

// waitReady waits until control says that the newest table is served.
func (s *spare) waitReady() {
	s.t.Helper()
	waitFor(s.t, "readiness", func() bool {
		resp, err := apiClient.Get("http://" + s.api + "/readyz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

var apiClient = &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// The documents of the API, as far as they are looked at.
type (
	status struct {
		Epoch    uint64
		Config   struct{ Error string }
		Services []service
	}
	service struct {
		ID, State, Active string
		Origins           []originState
		Traffic           struct {
			Requests, Failed, Retried, Hedged, Resumed uint64
			MaybeApplied                               uint64 `json:"maybe_applied"`
		}
	}
	originState struct {
		Site, State, Verdict string
		Ejected              bool
	}
	entry struct {
		ID                      int64
		At, Recorded            time.Time
		Kind, Level, Certainty  string
		Service, Site, Incident string
		Actor, Message          string
		Data                    json.RawMessage
	}
)

func (s *spare) status() (status, error) {
	var st status
	return st, s.ask("/api/v1/status", &st)
}

// origin gives what is said of the service's origin at a site.
func (s *spare) origin(site string) originState {
	st, err := s.status()
	if err != nil || len(st.Services) == 0 {
		return originState{}
	}
	for _, o := range st.Services[0].Origins {
		if o.Site == site {
			return o
		}
	}
	return originState{}
}

func (s *spare) ask(path string, into any) error {
	resp, err := apiClient.Get("http://" + s.api + path)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", path, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(into)
}

// journal gives all entries, oldest first.
func (s *spare) journal() []entry {
	s.t.Helper()
	var all []entry
	for cursor := int64(0); ; {
		var page struct {
			Entries []entry
			Next    int64
		}
		path := "/api/v1/journal?order=oldest&limit=500"
		if cursor != 0 {
			path += fmt.Sprintf("&cursor=%d", cursor)
		}
		if err := s.ask(path, &page); err != nil {
			s.t.Fatalf("read the journal: %v", err)
		}
		all = append(all, page.Entries...)
		if cursor = page.Next; cursor == 0 {
			return all
		}
	}
}

// recorded waits for a journal entry that ok accepts.
func (s *spare) recorded(what string, ok func(entry) bool) entry {
	s.t.Helper()
	var found entry
	waitFor(s.t, "the journal to hold "+what, func() bool {
		list := s.journal()
		i := slices.IndexFunc(list, ok)
		if i >= 0 {
			found = list[i]
		}
		return i >= 0
	})
	return found
}

// cli runs the command line.
func (s *spare) cli(args ...string) (stdout, stderr string, code int) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.bin, append(args, "-c", s.config)...)
	var out, errOut bytes.Buffer
	cmd.Env = append(os.Environ(), s.env...)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		s.t.Fatal(err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

// act is an operator's action over the API with the token.
func (s *spare) act(verb, body string) error {
	token, err := os.ReadFile(filepath.Join(s.dir, "data", "token"))
	if err != nil {
		return err
	}
	req, err := http.NewRequest(http.MethodPost, "http://"+s.api+"/api/v1/services/shop/"+verb, strings.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	req.Header.Set("Content-Type", "application/json")
	resp, err := apiClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode/100 != 2 {
		b, _ := io.ReadAll(resp.Body)
		return fmt.Errorf("%s: %s: %s", verb, resp.Status, b)
	}
	return nil
}
