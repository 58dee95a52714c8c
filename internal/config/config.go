// Package config reads spare.yaml, strictly. What it cannot make plain sense
// of is a [Diagnostic] with file, line, column, the offending text and, where
// one is near, the name that was probably meant; all of them come at once, in
// one [Errors].
//
// The shape of the file is described once, in fields.go. The reader walks that
// description, and so does [Schema], which gives it to editors as JSON Schema;
// what a value must mean beyond its shape is [estate.Validate]'s. The
// [Watcher] tells when a file, or one that it refers to, has changed.
//
// Only a part of YAML is read: mappings, lists and scalars in block and flow
// style. Anchors, aliases, tags, merge keys and further documents are refused,
// and so is each scalar that readers of YAML 1.1 and 1.2 take for different
// things. The scanner is goccy/go-yaml's; the tree is built here, because that
// module's parser is quadratic in the length of a mapping and in the depth of
// a nest, and gives up at its first fault.
//
//	e, err := config.Load("/etc/spare/spare.yaml", config.Options{})
//	var faults *config.Errors
//	if errors.As(err, &faults) {
//		faults.Render(os.Stderr)
//	}
package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
)

// MaxSize is the largest file that is read, in bytes.
const MaxSize = 4 << 20

// Options are the reader's ways to the outside. The zero value uses the
// process's environment and files.
type Options struct {
	// LookupEnv gives the value of ${env:NAME}; nil is os.LookupEnv.
	LookupEnv func(name string) (value string, ok bool)
	// ReadFile gives a file's content, the estate file's and that of
	// ${file:path}; nil reads the file, at most a little more than MaxSize.
	ReadFile func(path string) ([]byte, error)
	// Warn, when set, receives what is allowed and yet probably not meant, in
	// the order of the file. It is called only when the file has no fault.
	Warn func(Diagnostic)
}

// Load reads the file at path. The error is an [*Errors] of kind Invalid when
// the content is at fault, and of kind NotFound, Denied or Unavailable when
// the file cannot be read.
func Load(path string, opts Options) (*estate.Estate, error) {
	opts = opts.orDefault()
	data, err := opts.ReadFile(path)
	if err != nil {
		return nil, errs.Wrap(readKind(err), err, "read estate file")
	}
	return Parse(path, data, opts)
}

// Parse reads data, the content of the file called name. References to files,
// the state folder and the API's key pair are relative to name's folder. The
// error is an [*Errors].
func Parse(name string, data []byte, opts Options) (*estate.Estate, error) {
	opts = opts.orDefault()
	src, faults := clean(data)
	d := &decoder{opts: opts, folder: filepath.Dir(name), src: src, faults: faults}
	if len(faults) > 0 {
		return nil, d.errors(name)
	}
	root, faults, torn := parse(src)
	d.faults = faults
	if root == nil {
		return nil, d.errors(name)
	}
	e := &estate.Estate{}
	shape.read(d, root, e)
	e.Default()
	sum := sha256.Sum256(data)
	e.Digest = hex.EncodeToString(sum[:])
	d.rebase(e)
	if !torn { // what is lost to a fault of syntax would be missed everywhere else
		d.judge(root, e)
	}
	if len(d.faults) > 0 {
		faults := d.errors(name)
		faults.Partial = e
		return nil, faults
	}
	if opts.Warn != nil {
		for _, p := range estate.Advise(e) {
			d.faults = append(d.faults, problem(root, p))
		}
		for _, w := range d.errors(name).List {
			opts.Warn(w)
		}
	}
	return e, nil
}

// rebase makes paths of files independent of the folder that Spare runs in.
func (d *decoder) rebase(e *estate.Estate) {
	paths := []*string{&e.Data}
	if tls := e.Listen.APITLS; tls != nil {
		paths = append(paths, &tls.Cert, &tls.Key)
	}
	for _, p := range paths {
		if !filepath.IsAbs(*p) {
			*p = filepath.Join(d.folder, *p)
		}
	}
}

func (o Options) orDefault() Options {
	if o.LookupEnv == nil {
		o.LookupEnv = os.LookupEnv
	}
	if o.ReadFile == nil {
		o.ReadFile = readBounded
	}
	return o
}

// readBounded reads a file, and of an endless one just enough to see that it
// is too large.
func readBounded(path string) (data []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data, err = io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return data, nil
}

func readKind(err error) errs.Kind {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errs.NotFound
	case errors.Is(err, fs.ErrPermission):
		return errs.Denied
	default:
		return errs.Unavailable
	}
}
