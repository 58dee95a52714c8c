package objects_test

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sparecloud/spare/internal/blob/s3blob/peer"
)

// program runs somebody's program against the gateway, with nothing of this
// machine's own settings for other servers.
type program struct {
	t   *testing.T
	env []string
}

func (g *gateway) program(name string) *program {
	g.t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		if os.Getenv("SPARE_PEERS") == "required" {
			g.t.Fatalf("%s is not on this machine, and every peer is required", name)
		}
		g.t.Skipf("%s is not on this machine: this test needs it as a client", name)
	}
	home := g.t.TempDir()
	p := &program{t: g.t}
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); !strings.HasPrefix(name, "AWS_") && !strings.HasSuffix(strings.ToLower(name), "_proxy") {
			p.env = append(p.env, v)
		}
	}
	p.env = append(p.env, "HOME="+home, "AWS_ACCESS_KEY_ID="+accessKey, "AWS_SECRET_ACCESS_KEY="+secretKey, "AWS_DEFAULT_REGION=us-east-1",
		"RESTIC_REPOSITORY=s3:http://"+g.s3+"/media", "RESTIC_PASSWORD=a password", "RESTIC_CACHE_DIR="+filepath.Join(home, "cache"),
		"RCLONE_CONFIG_S_TYPE=s3", "RCLONE_CONFIG_S_PROVIDER=Other", "RCLONE_CONFIG_S_ENV_AUTH=true", "RCLONE_CONFIG_S_ENDPOINT=http://"+g.s3)
	return p
}

func (p *program) run(name string, args ...string) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = p.env
	out, err := cmd.CombinedOutput()
	if err != nil {
		p.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// tree makes a folder with files of many sizes, n bytes in all or a little more.
func tree(t *testing.T, n int) string {
	t.Helper()
	dir, r := t.TempDir(), rand.New(rand.NewPCG(seed, 1))
	for i := 0; n > 0; i++ {
		b := make([]byte, 1+r.IntN(4<<20))
		for j := range b {
			b[j] = byte(r.Uint32())
		}
		path := filepath.Join(dir, "d"+string(rune('a'+i%3)), "file "+string(rune('a'+i%26))+".bin")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		n -= len(b)
	}
	return dir
}

func threeProviders(t *testing.T) []*peer.Server {
	t.Helper()
	var all []*peer.Server
	for range sites {
		p := peer.Versity(t, peer.Options{})
		p.Open(t, "media")
		all = append(all, p)
	}
	return all
}

func TestResticWhileAProviderDies(t *testing.T) {
	providers := threeProviders(t)
	g := newGateway(t, providers, 0)
	g.awaitOpen()
	p := g.program("restic")
	p.run("restic", "init")
	src := tree(t, 40<<20)
	dies := time.AfterFunc(500*time.Millisecond, providers[0].Kill)
	p.run("restic", "backup", src)
	dies.Stop()
	p.run("restic", "check", "--read-data")
	providers[0].Start()
	freezes := time.AfterFunc(200*time.Millisecond, providers[1].Freeze)
	p.run("restic", "check", "--read-data")
	out := filepath.Join(t.TempDir(), "restored")
	p.run("restic", "restore", "latest", "--target", out)
	freezes.Stop()
	providers[1].Thaw()
	if diff, err := exec.Command("diff", "-r", src, filepath.Join(out, src)).CombinedOutput(); err != nil {
		t.Errorf("what was restored differs: %v\n%s", err, diff)
	}
}

func TestRcloneWhileAProviderDies(t *testing.T) {
	providers := threeProviders(t)
	g := newGateway(t, providers, 0)
	g.awaitOpen()
	p := g.program("rclone")
	src := tree(t, 40<<20)
	dies := time.AfterFunc(300*time.Millisecond, providers[2].Kill)
	p.run("rclone", "sync", src, "s:media/x", "--retries", "1")
	p.run("rclone", "check", src, "s:media/x", "--download")
	dies.Stop()
}

// TestEmptiedProviderIsNotBelieved empties a provider behind Spare's back: what
// it held is brought back, and nothing is lost or comes back from the dead.
func TestEmptiedProviderIsNotBelieved(t *testing.T) {
	providers := threeProviders(t)
	g := newGateway(t, providers, 0)
	g.awaitOpen()
	c := g.client()
	keys := []string{"kept", "deleted"}
	for _, k := range keys {
		put(t, c, k, "id-"+k)
	}
	if err := remove(t, c, "deleted"); err != nil {
		t.Fatal(err)
	}
	providers[0].Kill()
	for _, bucket := range []string{"media", "media-spare"} {
		empty(t, filepath.Join(providers[0].Folder, "data", bucket))
	}
	providers[0].Start()
	waitFor(t, "the emptied provider to be filled again", func() bool {
		b, ok := g.status()
		return ok && b.State == "up" && b.Counts.Repaired > 0
	})
	if id, err := get(t.Context(), c, "kept"); id != "id-kept" || err != nil {
		t.Errorf("kept: %q, %v", id, err)
	}
	if id, err := get(t.Context(), c, "deleted"); id != "" || err != nil {
		t.Errorf("deleted: %q, %v", id, err)
	}
	d := providers[0].Open(t, "media")
	r, err := d.Head(t.Context(), "kept")
	if err != nil {
		t.Errorf("the emptied provider has not got the object back: %v, %v", r, err)
	}
}
