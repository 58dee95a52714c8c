package app

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/sparecloud/spare/internal/errs"
)

// binaryPath gives the path under which this program is found on disk, also
// after the file there was replaced. The path by which it was called wins, so
// that a symbolic link is followed anew each time: an upgrade may consist of
// pointing it elsewhere.
func binaryPath() (string, error) {
	running, err := os.Stat("/proc/self/exe")
	if called, lerr := exec.LookPath(os.Args[0]); err == nil && lerr == nil {
		called, aerr := filepath.Abs(called)
		info, serr := os.Stat(called)
		if aerr == nil && serr == nil && os.SameFile(info, running) {
			return called, nil
		}
	}
	path, err := os.Executable()
	if err != nil {
		return "", errs.Wrap(errs.Unavailable, err, "find this program's file")
	}
	return strings.TrimSuffix(path, " (deleted)"), nil
}
