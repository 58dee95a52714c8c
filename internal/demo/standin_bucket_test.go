package demo

import (
	"context"
	"encoding/json"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/sparecloud/spare/internal/apiv1"
	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/replica"
	"github.com/sparecloud/spare/internal/blob/s3blob"
	"github.com/sparecloud/spare/internal/config"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/objects"
	"github.com/sparecloud/spare/internal/s3api"
)

// standInBucket serves the bucket of a spare.yaml with the replication that
// Spare has, in less time between looks, and writes down how it stands for the
// stand-in's API.
func standInBucket(ctx context.Context, file string) error {
	e, err := config.Load(file, config.Options{})
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	o, err := objects.Declared(e.Buckets[0], standInConnect, log)
	if err != nil {
		return err
	}
	o.Timing = replica.Timing{Pulse: 200 * time.Millisecond, Sweep: 2 * time.Second}
	b, err := replica.Open(ctx, o)
	if err != nil {
		return err
	}
	go func() { _ = b.Run(ctx) }()
	go func() {
		for range time.Tick(50 * time.Millisecond) {
			standInNote(standInDoc(e.Data), b.Status())
		}
	}()
	ln, err := net.Listen("tcp", e.Listen.S3)
	if err != nil {
		return err
	}
	api := s3api.New(s3api.Options{Log: log})
	c := e.Credentials[0]
	api.Swap(&s3api.Table{Buckets: map[string]s3api.Store{bucket: b},
		Credentials: []s3api.Credential{{AccessKey: c.AccessKey, SecretKey: c.SecretKey, Rights: s3api.Write}}})
	return objects.ServeHTTP(ctx, ln, api, log)
}

func standInConnect(r estate.Replica) (replica.Member, error) {
	m := replica.Member{ID: string(r.Site), Where: r.Where(), HeadsWhere: r.HeadsWhere()}
	place, _ := r.Heads()
	for name, to := range map[string]**blob.Bucket{r.S3.Bucket: &m.Body, place: &m.Heads} {
		drv, err := s3blob.Open(s3blob.Options{Bucket: name, Endpoint: r.S3.Endpoint, AccessKey: r.S3.AccessKey, SecretKey: r.S3.SecretKey})
		if err != nil {
			return m, err
		}
		*to = blob.New(m.ID, drv)
	}
	return m, nil
}

func standInDoc(data string) string { return filepath.Join(data, "bucket.json") }

func standInNote(file string, s replica.Status) {
	doc := apiv1.Bucket{ID: s.Name}
	for _, m := range s.Members {
		v := apiv1.Replica{Site: m.ID, State: "down", Behind: m.Behind, More: m.More, Requests: m.Requests}
		if m.Heads && m.Bodies && !m.Amnesic {
			v.State = "up"
		}
		doc.Replicas = append(doc.Replicas, v)
	}
	b, _ := json.Marshal(doc)
	_ = os.MkdirAll(filepath.Dir(file), 0o755)
	if os.WriteFile(file+".new", b, 0o644) == nil {
		_ = os.Rename(file+".new", file)
	}
}
