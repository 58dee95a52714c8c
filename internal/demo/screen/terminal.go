package screen

import (
	"io"
	"os"
	"syscall"
	"unsafe"
)

// Of finds out what w is: a terminal, of which width, and whether it wants
// colours.
func Of(w io.Writer) Options {
	f, ok := w.(*os.File)
	if !ok {
		return Options{}
	}
	var size struct{ rows, columns, x, y uint16 }
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), syscall.TIOCGWINSZ, uintptr(unsafe.Pointer(&size)))
	if errno != 0 {
		return Options{}
	}
	dumb := os.Getenv("TERM") == "dumb" || os.Getenv("TERM") == ""
	return Options{TTY: !dumb, Color: !dumb && os.Getenv("NO_COLOR") == "", Width: int(size.columns)}
}
