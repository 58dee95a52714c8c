package fileblob

import (
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
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
}

const (
	maxScans  = 8
	minKept   = 4096 // entries: fewer are read again as fast
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
	dir, err := r.Open(".")
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
	s := &scan{of: of, from: from}
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
	if identify(info) == of && quiet > settledAt && len(s.entries) >= minKept {
		f.scans.keep(s)
	}
	return s.entries, s.more, nil
}

// read adds the entries of a folder to the scan.
func (f *folder) read(dir *os.File, s *scan) error {
	for {
		batch, err := dir.ReadDir(1024)
		for _, e := range batch {
			s.add(f, e)
		}
		if len(s.entries) >= 2*maxScan {
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
	if n.sort < s.from || s.more && n.sort > s.entries[maxScan-1].sort {
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
	if len(s.entries) > maxScan {
		s.entries, s.more = s.entries[:maxScan], true
	}
}
