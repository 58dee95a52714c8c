package objects_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// operation is one line of the history. A write's id is unique and stands in
// the bytes; a read's is that of the write that it saw, "" for none.
type operation struct {
	client  int
	key     string
	write   bool
	id      string
	call    time.Time
	end     time.Time
	unknown bool // a write that may or may not have happened, or happen yet
	err     error
}

// history is what all clients did. Reads that failed are counted and left out:
// they promise nothing.
type history struct {
	mu     sync.Mutex
	list   []operation
	failed int
	refuse int
}

func (h *history) add(o operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if o.err != nil {
		h.failed++
		if !o.write {
			return
		}
		if !o.unknown {
			h.refuse++
		}
	}
	h.list = append(h.list, o)
}

// content makes the bytes of a write: its id, then filler of a size that the id
// decides, so that a reader can check every byte.
func content(id string, size int) []byte {
	b := make([]byte, 0, len(id)+1+size)
	b = append(append(b, id...), '\n')
	for i := 0; len(b) < cap(b); i++ {
		b = append(b, byte(i*7)^id[i%len(id)])
	}
	return b
}

// idOf gives the id of the write that b came from, if b is all of it.
func idOf(b []byte) (string, error) {
	id, rest, ok := bytes.Cut(b, []byte("\n"))
	if !ok || !bytes.Equal(content(string(id), len(rest)), b) {
		return "", fmt.Errorf("%d bytes that nobody wrote", len(b))
	}
	return string(id), nil
}

// worker does operations on the keys until ctx ends.
func worker(ctx context.Context, h *history, client int, b *blob.Bucket, keys []string, r *rand.Rand) {
	for n := 0; ctx.Err() == nil; n++ {
		o := operation{client: client, key: keys[r.IntN(len(keys))], call: time.Now()}
		// A client that gives up leaves its request to its fate.
		one, cancel := context.WithTimeout(context.Background(), 15*time.Second)
		switch k := r.IntN(10); {
		case k < 4:
			o.write, o.id = true, fmt.Sprintf("c%d-%d", client, n)
			body := content(o.id, []int{0, 10, 5000, 400_000}[r.IntN(4)])
			_, o.err = b.Put(one, o.key, bytes.NewReader(body), int64(len(body)), blob.PutOptions{})
		case k < 5:
			o.write = true
			o.err = b.Delete(one, o.key, blob.DeleteOptions{})
		default:
			o.id, o.err = get(one, b, o.key)
		}
		cancel()
		o.end = time.Now()
		// Only an answer that says so is definite: a connection that broke, or an
		// error of the kind that may be repeated, is not.
		o.unknown = o.err != nil
		h.add(o)
		if o.err != nil {
			time.Sleep(time.Duration(r.IntN(50)) * time.Millisecond)
		}
	}
}

// get reads all of an object; "" = there is none.
func get(ctx context.Context, b *blob.Bucket, key string) (string, error) {
	r, err := b.Get(ctx, key, blob.GetOptions{})
	if errs.Is(err, errs.NotFound) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer func() { _ = r.Close() }()
	data, err := io.ReadAll(r)
	if err != nil {
		return "", err
	}
	id, err := idOf(data)
	if err != nil {
		return "wrong", nil // no write has this id: the checker finds it
	}
	return id, nil
}

// linearizable checks the history key by key.
func (h *history) linearizable(t *testing.T) {
	t.Helper()
	last := time.Now()
	byKey := map[string][]porcupine.Operation{}
	for _, o := range h.list {
		end := o.end
		if o.unknown {
			end = last.Add(time.Hour)
		}
		p := porcupine.Operation{ClientId: len(byKey[o.key]), Input: o, Output: o.id, Call: o.call.UnixNano(), Return: end.UnixNano()}
		byKey[o.key] = append(byKey[o.key], p)
	}
	model := porcupine.Model{
		Init: func() any { return "" },
		Step: func(state, input, output any) (bool, any) {
			o := input.(operation)
			if o.write {
				return true, o.id
			}
			return state == output, state
		},
	}
	for key, ops := range byKey {
		switch porcupine.CheckOperationsTimeout(model, ops, time.Minute) {
		case porcupine.Illegal:
			t.Errorf("the history of %q is not linearizable:\n%s", key, h.of(key))
		case porcupine.Unknown:
			t.Logf("the history of %q, %d operations, was too long to check", key, len(ops))
		}
	}
}

func (h *history) of(key string) string {
	var b bytes.Buffer
	for _, o := range h.list {
		if o.key == key {
			what := "read"
			if o.write {
				what = "write"
			}
			fmt.Fprintf(&b, "%s-%s client %d %s %q unknown=%v %v\n", o.call.Format("05.000000"), o.end.Format("05.000000"), o.client, what, o.id, o.unknown, o.err)
		}
	}
	return b.String()
}

func TestCheckerSeesStaleReads(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	h := &history{list: []operation{
		{key: "k", write: true, id: "a", call: at(1), end: at(2)},
		{key: "k", write: true, id: "b", call: at(3), end: at(4)},
		{key: "k", id: "a", call: at(5), end: at(6)},
	}}
	inner := &testing.T{}
	func() {
		defer func() { _ = recover() }() // a T of nobody's cannot print
		h.linearizable(inner)
	}()
	if !inner.Failed() {
		t.Error("a stale read passes")
	}
}

func put(t *testing.T, b *blob.Bucket, key, id string) {
	t.Helper()
	body := content(id, 100)
	if _, err := b.Put(t.Context(), key, bytes.NewReader(body), int64(len(body)), blob.PutOptions{}); err != nil {
		t.Fatalf("put %q: %v", key, err)
	}
}

func remove(t *testing.T, b *blob.Bucket, key string) error {
	t.Helper()
	return b.Delete(t.Context(), key, blob.DeleteOptions{})
}
