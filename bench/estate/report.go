package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/sparecloud/spare/bench/peer"
)

// report is everything that a run found.
type report struct {
	Machine peer.Machine `json:"machine"`
	Version string       `json:"version"`
	Every   string       `json:"every"`
	Sizes   []figures    `json:"sizes"`
}

// figures are what one number of services costs, by name and unit.
type figures struct {
	Services int                `json:"services"`
	Closing  bool               `json:"closing"` // origins closed the connection after each check
	Values   map[string]float64 `json:"values"`
}

// names are the figures in the order of the table.
var names = []string{
	"file KiB", "load and validate ms", "first table ms", "next table ms", "request to its service us",
	"first start ms", "start from last table ms", "reload ms", "memory of data MiB", "memory of control MiB", "CPU until settled s", "CPU at rest, % of a core",
}

func (r *report) save(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	doc, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "estate.json"), append(doc, '\n'), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "estate.md"), []byte(r.markdown()), 0o644)
}

// markdown writes one table: a column for each size, and how the last compares
// with the first.
func (r *report) markdown() string {
	w := new(strings.Builder)
	fmt.Fprintf(w, "Machine: %s.\n\n- %s; checks every %s\n\n| |", r.Machine, r.Version, r.Every)
	for _, s := range r.Sizes {
		fmt.Fprintf(w, " %d services |", s.Services)
	}
	first, last := r.Sizes[0], r.Sizes[len(r.Sizes)-1]
	fmt.Fprintf(w, " growth over %.0fx |\n|---|%s\n", float64(last.Services)/float64(first.Services), strings.Repeat("--:|", len(r.Sizes)+1))
	for _, name := range names {
		fmt.Fprintf(w, "| %s |", name)
		for _, s := range r.Sizes {
			if name == "reload ms" && s.Values[name] >= patience.Seconds()*1e3 {
				fmt.Fprint(w, " not within a minute |")
				continue
			}
			fmt.Fprintf(w, " %.1f |", s.Values[name])
		}
		growth := "-"
		if v := first.Values[name]; v > 0 {
			growth = fmt.Sprintf("%.1fx", last.Values[name]/v)
		}
		fmt.Fprintf(w, " %s |\n", growth)
	}
	for _, s := range r.Sizes {
		if s.Closing {
			fmt.Fprintf(w, "\nThe limit of open files did not allow to keep a connection for the checks of each origin of %d services: the origins closed it after each check.\n", s.Services)
		}
	}
	return w.String()
}
