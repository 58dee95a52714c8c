package fileblob

import (
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// entry is a name in a folder that is part of a key.
type entry struct {
	sort  string // by which a listing orders it: the segment, and a slash for a folder
	name  string // of the file or folder
	dir   bool
	aside bool
}

// scan is a stretch of a folder's entries, in order: all from the first that
// is at or behind from.
type scan struct {
	of      identity // of the folder, when it was read
	from    string
	entries []entry
	more    bool // there are more behind the last
	max     int  // entries
	names   int  // that were read to find them
}

// maxScan bounds the entries that are kept of one folder: one with more is
// read once for each such stretch, never as a whole into memory.
const maxScan = 1 << 15

// covers says whether the entries at and behind from begin in the scan.
func (s *scan) covers(from string) bool {
	return s.from <= from && (!s.more || from <= s.entries[len(s.entries)-1].sort)
}

func (s *scan) behind(from string) []entry {
	i, _ := slices.BinarySearchFunc(s.entries, from, func(e entry, from string) int { return strings.Compare(e.sort, from) })
	return s.entries[i:]
}

// scans keeps the last stretches of large folders, so that the pages of a
// listing do not each read the whole folder.
type scans struct {
	mu   sync.Mutex
	kept []*scan // last used first

	max   int          // entries of a scan; 0 = maxScan
	names atomic.Int64 // that were read in all
}

func (s *scans) limit() int {
	if s.max > 0 {
		return s.max
	}
	return maxScan
}

const (
	maxScans  = 8
	minKept   = 4096 // names: a folder of fewer is read again as fast
	settledAt = time.Second
)

func (s *scans) find(of identity, from string) *scan {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, k := range s.kept {
		if k.of == of && k.covers(from) {
			copy(s.kept[1:i+1], s.kept[:i])
			s.kept[0] = k
			return k
		}
	}
	return nil
}

func (s *scans) keep(k *scan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = slices.DeleteFunc(s.kept, func(o *scan) bool { return o.of.Inode == k.of.Inode && o.of != k.of })
	s.kept = slices.Insert(s.kept, 0, k)
	s.kept = s.kept[:min(len(s.kept), maxScans)]
}

// entries gives a folder's entries at and behind from, in order, and whether
// there are more behind them.
func (f *folder) entries(r *os.Root, from string) ([]entry, bool, error) {
	dir, err := openNames(r)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = dir.Close() }()
	info, err := dir.Stat()
	if err != nil {
		return nil, false, err
	}
	of := identify(info)
	if s := f.scans.find(of, from); s != nil {
		return s.behind(from), s.more, nil
	}
	began := time.Now()
	s := &scan{of: of, from: from, max: f.scans.limit()}
	// Names that move while they are read may be missed; in two readings that
	// is most unlikely.
	for range 2 {
		if err := f.read(dir, s); err != nil {
			return nil, false, err
		}
		if info, err = dir.Stat(); err != nil {
			return nil, false, err
		}
		if identify(info) == of {
			break
		}
		if _, err := dir.Seek(0, io.SeekStart); err != nil {
			return nil, false, err
		}
	}
	// A folder that changed just now may change again within the same tick of
	// its clock: what was read of it cannot be recognised as old.
	quiet := began.Sub(time.Unix(0, of.Changed))
	if identify(info) == of && quiet > settledAt && s.names >= min(minKept, s.max) {
		f.scans.keep(s)
	}
	return s.entries, s.more, nil
}

// openNames opens a folder for reading its names. The file that an os.Root
// opens looks at every file as well, which of a large folder on a cold disk
// takes minutes; names and kinds are enough.
func openNames(r *os.Root) (*os.File, error) {
	dir, err := r.Open(".")
	if err != nil {
		return nil, err
	}
	defer func() { _ = dir.Close() }()
	syscall.ForkLock.RLock() // no child process inherits the handle
	fd, err := syscall.Dup(int(dir.Fd()))
	if err == nil {
		syscall.CloseOnExec(fd)
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), dir.Name()), nil
}

// read adds the entries of a folder to the scan.
func (f *folder) read(dir *os.File, s *scan) error {
	for {
		batch, err := dir.ReadDir(1024)
		f.scans.names.Add(int64(len(batch)))
		s.names += len(batch)
		for _, e := range batch {
			s.add(f, e)
		}
		if len(s.entries) >= 2*s.max {
			s.trim()
		}
		if err == io.EOF {
			s.trim()
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (s *scan) add(f *folder, e fs.DirEntry) {
	if !e.IsDir() && !e.Type().IsRegular() {
		return
	}
	p, ok := parseName(e.Name())
	if !ok || e.IsDir() && p.aside {
		return
	}
	if p.hash != "" {
		seg, err := f.keptName(p.hash)
		if err != nil {
			return // its key is not known any more
		}
		p.seg = seg
	}
	n := entry{sort: p.seg, name: e.Name(), dir: e.IsDir(), aside: p.aside}
	if n.dir {
		n.sort += "/"
	}
	if n.sort < s.from || s.more && n.sort > s.entries[s.max-1].sort {
		return
	}
	s.entries = append(s.entries, n)
}

// trim orders the entries and keeps the first of them. Of an object that has
// two files the one under its own name comes first and is kept.
func (s *scan) trim() {
	slices.SortFunc(s.entries, func(a, b entry) int {
		switch c := strings.Compare(a.sort, b.sort); {
		case c != 0:
			return c
		case a.aside == b.aside:
			return 0
		case b.aside:
			return -1
		}
		return 1
	})
	s.entries = slices.CompactFunc(s.entries, func(a, b entry) bool { return a.sort == b.sort })
	if len(s.entries) > s.max {
		s.entries, s.more = s.entries[:s.max], true
	}
}
