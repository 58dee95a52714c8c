package fileblob

import (
	"io/fs"
	"syscall"
)

// statOf gives what no user can set at will: the device, the inode, and the
// time of the last change of the file or its attributes, in ns.
func statOf(info fs.FileInfo) (dev, ino uint64, changed int64) {
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, 0
	}
	return uint64(s.Dev), s.Ino, s.Ctim.Nano()
}
