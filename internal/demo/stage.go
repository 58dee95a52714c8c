package demo

import (
	"context"
	"crypto/rand"
	"fmt"
	mrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/demo/depot"
	"github.com/sparecloud/spare/internal/demo/group"
	"github.com/sparecloud/spare/internal/demo/load"
	"github.com/sparecloud/spare/internal/demo/objectload"
	"github.com/sparecloud/spare/internal/demo/proof"
	"github.com/sparecloud/spare/internal/demo/screen"
	"github.com/sparecloud/spare/internal/errs"
)

// Names in spare.yaml, and the files with secret keys that it refers to.
const (
	service     = "shop"
	bucket      = "archive"
	cloudSecret = "clouds.secret"
	ownSecret   = "archive.secret"
)

// stage is where the demo plays: clouds, Spare, customers.
type stage struct {
	Options
	dir    string
	host   *group.Host
	screen *screen.Screen
	pace   pace
	began  time.Time

	clouds []*cloud
	spare  *group.Group
	front  string          // Spare's address for customers
	s3     string          // for clients of its bucket
	api    string          // and for its API
	keys   objectload.Keys // to its bucket
	client *apiv1.Client
	ledger *load.Ledger
	things *objectload.Ledger // of the objects
	away   string             // cloud that was broken last and whose objects may lack some; "" = none
}

// cloud is one cloud from outside.
type cloud struct {
	name   string
	front  string
	inside string
	bucket string // where its bucket is served
	dir    string
	group  *group.Group
}

// addresses gives every part an address that is free now. Each cloud has a
// loopback address of its own. Ports are below those that the kernel gives to
// outgoing connections, so that none of these takes the port of a cloud that is
// dead for the moment.
func (s *stage) addresses() error {
	var err error
	free := func(ip string) string {
		addr, e := freeAddress(ip)
		if e != nil {
			err = e
		}
		return addr
	}
	for i, letter := range []string{"a", "b", "c"} {
		ip, name := fmt.Sprintf("127.0.0.%d", i+2), "cloud-"+letter
		s.clouds = append(s.clouds, &cloud{name: name, front: free(ip), inside: free(ip), bucket: free(ip), dir: filepath.Join(s.dir, name)})
	}
	s.front, s.s3, s.api = free("127.0.0.1"), free("127.0.0.1"), free("127.0.0.1")
	return err
}

func freeAddress(ip string) (string, error) {
	var err error
	for range 50 {
		var l net.Listener
		if l, err = net.Listen("tcp", fmt.Sprintf("%s:%d", ip, 10000+mrand.IntN(22000))); err == nil {
			return l.Addr().String(), l.Close()
		}
	}
	return "", errs.WithHint(errs.Wrap(errs.Unavailable, err, "find a free port on %s", ip),
		"the demo needs the loopback addresses 127.0.0.1 to 127.0.0.4")
}

// estate is the spare.yaml that Spare runs with.
func (s *stage) estate() string {
	var sites, origins, replicas strings.Builder
	for i, c := range s.clouds {
		provider := []string{"alder", "birch", "cedar"}[i]
		fmt.Fprintf(&sites, "  %s: {provider: %s, region: %s-1}\n", c.name, provider, provider)
		fmt.Fprintf(&origins, "      %s: {url: \"http://%s\"}\n", c.name, c.front)
		fmt.Fprintf(&replicas, "      %s: {s3: {bucket: %s, endpoint: \"http://%s\", access_key: %s, secret_key: \"${file:%s}\"}}\n",
			c.name, depot.Bucket, c.bucket, depot.AccessKey, cloudSecret)
	}
	return fmt.Sprintf(`# Three clouds on this machine, a shop that runs at each of them, and a bucket
# that is kept at each of them.
version: 1
data: %q
listen: {http: %q, s3: %q, api: %q}
sites:
%sservices:
  %s:
    policy: primary     # one cloud serves, the others are spare
    failback: manual    # a cloud that comes back waits for its turn
    limits: {timeout: 1s}
    writes: anywhere    # the shop itself keeps orders at two clouds
    origins:
%s    check: {http: {path: /healthz}, every: 200ms, timeout: 250ms}
    objective: {rto: %s}
buckets:
  %s:
    replicas:           # each with objects, so that writes survive any one
%s    objective: {rto: %s, rpo: 0s}
credentials:
  - {access_key: %s, secret_key: "${file:%s}", buckets: [%s], rights: write}
`, filepath.Join(s.dir, "spare"), s.front, s.s3, s.api, sites.String(), service, origins.String(), s.pace.rto,
		bucket, replicas.String(), s.pace.rto, s.keys.Access, ownSecret, bucket)
}

// set starts the clouds and Spare, and returns when customers can come.
func (s *stage) set(ctx context.Context) error {
	if err := s.addresses(); err != nil {
		return err
	}
	if err := s.secrets(); err != nil {
		return err
	}
	for _, c := range s.clouds {
		if err := s.start(c); err != nil {
			return err
		}
	}
	for _, c := range s.clouds {
		if err := s.healthy(ctx, c); err != nil {
			return err
		}
		s.screen.Say("%s runs at %s (pid %d)", c.name, c.front, c.group.PID())
	}
	file := filepath.Join(s.dir, "spare.yaml")
	if err := os.WriteFile(file, []byte(s.estate()), 0o644); err != nil {
		return errs.Wrap(errs.Unavailable, err, "write %s", file)
	}
	var err error
	if s.client, err = apiv1.New("http://"+s.api, "", nil); err != nil {
		return err
	}
	log := filepath.Join(s.dir, "spare.log")
	// SIGTERM, so that Spare ends its own processes when the demo dies.
	s.spare, err = s.host.Start(group.Spec{Name: "spare", Path: s.Binary, Args: []string{"run", "-c", file}, Log: log, Death: syscall.SIGTERM})
	if err != nil {
		return err
	}
	if err := s.await(ctx, "Spare serves", 15*time.Second, s.spare, s.serves); err != nil {
		return errs.WithHint(err, "its log says:\n%s", tail(log))
	}
	s.screen.Say("Spare serves the shop at http://%s and the bucket %s, kept at all three, at http://%s; its API is at http://%s", s.front, bucket, s.s3, s.api)
	return nil
}

// serves reports whether the shop can be reached through Spare and Spare says
// that all clouds are up.
func (s *stage) serves(ctx context.Context) bool {
	if reply, _ := ask(ctx, "http://"+s.front+"/", time.Second); reply != 200 {
		return false
	}
	for _, c := range s.clouds {
		if !s.takenBack(ctx, c.name) || !s.caughtUp(ctx, c.name) {
			return false
		}
	}
	return true
}

// secrets makes new keys to the clouds' buckets and to Spare's.
func (s *stage) secrets() error {
	for _, name := range []string{cloudSecret, ownSecret} {
		s.keys = objectload.Keys{Access: "demo", Secret: rand.Text()} // the last is Spare's own
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(s.keys.Secret), 0o600); err != nil {
			return errs.Wrap(errs.Unavailable, err, "write %s", name)
		}
	}
	return nil
}

// start runs the cloud's program, anew if it ran before.
func (s *stage) start(c *cloud) error {
	args := []string{"demo-cloud", "--name", c.name, "--front", c.front, "--inside", c.inside, "--bucket", c.bucket,
		"--dir", c.dir, "--secret", filepath.Join(s.dir, cloudSecret)}
	for _, p := range s.clouds {
		if p != c {
			args = append(args, "--peer", p.name+"="+p.inside)
		}
	}
	g, err := s.host.Start(group.Spec{Name: c.name, Path: s.Binary, Args: args, Log: filepath.Join(s.dir, c.name+".log")})
	if err == nil {
		c.group = g
	}
	return err
}

func (s *stage) healthy(ctx context.Context, c *cloud) error {
	err := s.await(ctx, c.name+" is healthy", 10*time.Second, c.group, func(ctx context.Context) bool {
		status, _ := ask(ctx, "http://"+c.front+"/healthz", time.Second)
		_, reply := ask(ctx, "http://"+c.bucket+"/", time.Second)
		return status == 200 && reply == proof.Answered
	})
	return errs.WithHint(err, "its log says:\n%s", tail(filepath.Join(s.dir, c.name+".log")))
}

// await polls until ok, for at most limit, and as long as the group lives.
func (s *stage) await(ctx context.Context, what string, limit time.Duration, g *group.Group, ok func(context.Context) bool) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for tick := time.Tick(20 * time.Millisecond); ; {
		if ok(ctx) {
			return nil
		}
		select {
		case <-tick:
		case <-g.Done():
			return errs.E(errs.Unavailable, "wait until %s: process %d ended", what, g.PID())
		case <-ctx.Done():
			return errs.Wrap(errs.Unavailable, ctx.Err(), "wait until %s", what)
		}
	}
}

// tail gives the last lines of a log, for an error's hint.
func tail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	return "  " + strings.Join(lines[max(0, len(lines)-8):], "\n  ")
}
