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
	Machine  peer.Machine      `json:"machine"`
	Versions map[string]string `json:"versions"`
	Short    bool              `json:"short"`
	Cells    []cell            `json:"cells"`
}

// save writes the report as Markdown and as JSON into the folder.
func (r *report) save(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	doc, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "failover.json"), append(doc, '\n'), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "failover.md"), []byte(r.markdown()), 0o644)
}

// markdown writes one table a row of the matrix, and where Spare is not best.
func (r *report) markdown() string {
	w := new(strings.Builder)
	fmt.Fprintf(w, "Machine: %s.\n\n", r.Machine)
	for _, k := range peer.Kinds {
		if v, ok := r.Versions[k.Name]; ok {
			fmt.Fprintf(w, "- %s: %s; %s\n", k.Name, v, k.About)
		}
	}
	if r.Short {
		fmt.Fprint(w, "\n**Short run: good for finding mistakes in the benchmark, not for figures.**\n")
	}
	for i, c := range r.Cells {
		if i == 0 || !c.sameRow(r.Cells[i-1]) {
			fmt.Fprintf(w, "\n### %s, %s\n\n%d requests/s, %.0f s before the fault and %.0f s after\n\n", c.Fault, c.Method, c.Rate, c.BeforeS, c.AfterS)
			fmt.Fprint(w, "| proxy | requests | errors | p99.9 ms | longest ms | clear after s | truncated | POST twice |\n|---|--:|--:|--:|--:|--:|--:|--:|\n")
		}
		fmt.Fprintln(w, c.line())
	}
	if worse := r.worse(); len(worse) > 0 {
		fmt.Fprintf(w, "\n### Where Spare is not best\n\n- %s\n", strings.Join(worse, "\n- "))
	}
	return w.String()
}

func (c cell) sameRow(d cell) bool { return c.Fault == d.Fault && c.Method == d.Method }

// line is the cell's line in a table.
func (c cell) line() string {
	if c.Skipped != "" {
		return fmt.Sprintf("| %s | skipped: %s | | | | | | |", c.Proxy, c.Skipped)
	}
	until, twice := fmt.Sprintf("%.2f", c.ClearS), "-"
	if c.NeverClear {
		until = "never"
	}
	if c.Method == "POST" {
		twice = fmt.Sprint(c.Duplicates)
	}
	note := ""
	if c.ErrorsBefore > 0 {
		note += fmt.Sprintf(" (%d errors before the fault)", c.ErrorsBefore)
	}
	if c.Lost > 0 {
		note += fmt.Sprintf(" (%d acknowledged and lost)", c.Lost)
	}
	return fmt.Sprintf("| %s%s | %d | %d | %.0f | %.0f | %s | %d | %s |", c.Proxy, note, c.Requests, c.Errors, c.P999Ms, c.LongestMs, until, c.Truncated, twice)
}

// worse lists each figure in which a peer beat Spare by more than noise: any
// count where the peer's is 0, else a quarter and 8, for how many requests are
// under way at a fault is chance; 10 ms and a tenth for a time; 50 ms for the
// time until clear.
func (r *report) worse() []string {
	var all []string
	for _, s := range r.Cells {
		if s.Proxy != "spare" || s.Skipped != "" {
			continue
		}
		for _, p := range r.Cells {
			if !p.sameRow(s) || p.Proxy == "spare" || p.Skipped != "" {
				continue
			}
			var what []string
			count := func(name string, mine, theirs int) {
				if mine > theirs && (theirs == 0 || mine > theirs+max(8, theirs/4)) {
					what = append(what, fmt.Sprintf("%s %d against %d", name, mine, theirs))
				}
			}
			measure := func(name string, mine, theirs, noise float64) {
				if mine > theirs+noise && mine > theirs*1.1 {
					what = append(what, fmt.Sprintf("%s %g against %g", name, mine, theirs))
				}
			}
			count("errors", s.Errors, p.Errors)
			count("truncated", s.Truncated, p.Truncated)
			count("POST twice", s.Duplicates, p.Duplicates)
			measure("p99.9 ms", s.P999Ms, p.P999Ms, 10)
			measure("longest ms", s.LongestMs, p.LongestMs, 10)
			measure("clear after s", s.ClearS, p.ClearS, 0.05)
			if len(what) > 0 {
				all = append(all, fmt.Sprintf("%s, %s, beside %s: %s", s.Fault, s.Method, p.Proxy, strings.Join(what, "; ")))
			}
		}
	}
	return all
}
