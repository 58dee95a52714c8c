package config

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/sparecloud/spare/internal/estate"
)

// maxReference bounds a file that a reference names, in bytes.
const maxReference = 1 << 20

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expand replaces the references in n's text: ${env:NAME} by the variable,
// ${file:path} by the file's content without its last line end. "$${" stands
// for "${" itself. What comes in by a reference is not looked at again.
func (d *decoder) expand(n *node) (string, bool) {
	if !strings.Contains(n.text, "${") {
		return n.text, true
	}
	var out strings.Builder
	for rest := n.text; ; {
		before, after, found := strings.Cut(rest, "${")
		out.WriteString(before)
		if !found {
			return out.String(), true
		}
		if strings.HasSuffix(before, "$") {
			out.WriteString("{")
			rest = after
			continue
		}
		name, tail, closed := strings.Cut(after, "}")
		n.referring = true
		if !closed {
			d.fault(n, nil, `holds "${" without "}"; write "$${" for the characters themselves`)
			return "", false
		}
		value, fault := d.resolve(name)
		if fault != "" {
			n.referring = false
			d.fault(n, nil, "%s", fault)
			return "", false
		}
		out.WriteString(value)
		rest = tail
	}
}

// resolve gives the value of a reference, or what is wrong with it. The value
// is never part of that.
func (d *decoder) resolve(reference string) (value, fault string) {
	scheme, name, ok := strings.Cut(reference, ":")
	switch {
	case !ok || scheme != "env" && scheme != "file":
		hint := ""
		if near := estate.Near(scheme, []string{"env", "file"}); len(near) > 0 && ok {
			hint = fmt.Sprintf("; did you mean %q?", "${"+near[0]+":"+name+"}")
		}
		return "", fmt.Sprintf("holds %q, which is neither ${env:NAME} nor ${file:path}%s", "${"+reference+"}", hint)
	case scheme == "env" && !envName.MatchString(name):
		return "", fmt.Sprintf("refers to %q, which is no name of an environment variable", name)
	case scheme == "file" && name == "":
		return "", "refers to a file without a path"
	case scheme == "env":
		value, ok = d.opts.LookupEnv(name)
		if !ok {
			return "", fmt.Sprintf("refers to the environment variable %s, which is not set", name)
		}
	default:
		data, err := d.opts.ReadFile(resolvePath(d.folder, name))
		if err != nil {
			return "", fmt.Sprintf("refers to the file %s, which cannot be read (%s)", name, readKind(err))
		}
		if len(data) > maxReference {
			return "", fmt.Sprintf("refers to the file %s, which is larger than %d MiB", name, maxReference>>20)
		}
		value = strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	}
	switch {
	case value == "":
		return "", fmt.Sprintf("refers to %s, which is empty", name)
	case !utf8.ValidString(value):
		return "", fmt.Sprintf("refers to %s, which is not UTF-8", name)
	}
	return value, ""
}

func resolvePath(folder, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(folder, name)
}

var fileReference = regexp.MustCompile(`\$\{file:([^}\n]+)\}`)

// references gives the files that the text of an estate file refers to, as it
// stands: also in comments and in a file with faults.
func references(folder string, data []byte) []string {
	var paths []string
	for _, m := range fileReference.FindAllSubmatch(data, -1) {
		paths = append(paths, resolvePath(folder, string(m[1])))
	}
	return paths
}
