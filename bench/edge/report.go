package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sparecloud/spare/bench/peer"
)

// report is everything that a run found.
type report struct {
	Machine  peer.Machine      `json:"machine"`
	Versions map[string]string `json:"versions"`
	Conns    int               `json:"connections"`
	Seconds  float64           `json:"seconds"`
	Turns    []turn            `json:"turns"`
}

func (r *report) save(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	doc, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "edge.json"), append(doc, '\n'), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "edge.md"), []byte(r.markdown()), 0o644)
}

// markdown writes a table for each size: medians over the rounds.
func (r *report) markdown() string {
	w := new(strings.Builder)
	fmt.Fprintf(w, "Machine: %s.\n\n", r.Machine)
	for _, k := range peer.Kinds {
		if v, ok := r.Versions[k.Name]; ok {
			fmt.Fprintf(w, "- %s: %s\n", k.Name, v)
		}
	}
	for _, size := range sizes {
		base := r.median("haproxy", size.name)
		fmt.Fprintf(w, "\n### %s, %d connections\n\n", size.name, r.Conns)
		fmt.Fprint(w, "| proxy | requests/s | to HAProxy | CPU us a request | to HAProxy | p99 ms | errors |\n|---|--:|--:|--:|--:|--:|--:|\n")
		for _, k := range peer.Kinds {
			if m := r.median(k.Name, size.name); m.Requests > 0 {
				fmt.Fprintf(w, "| %s | %.0f | %s | %.1f | %s | %.1f | %d |\n", k.Name, m.PerSecond, ratio(m.PerSecond, base.PerSecond), m.CPUMicros, ratio(m.CPUMicros, base.CPUMicros), m.P99Ms, m.Errors)
			}
		}
	}
	return w.String()
}

// median takes each figure by itself; errors and requests are summed.
func (r *report) median(proxy, size string) turn {
	var rate, cpu, slow []float64
	all := turn{Proxy: proxy, Size: size}
	for _, t := range r.Turns {
		if t.Proxy == proxy && t.Size == size {
			rate, cpu, slow = append(rate, t.PerSecond), append(cpu, t.CPUMicros), append(slow, t.P99Ms)
			all.Errors += t.Errors
			all.Requests += t.Requests
		}
	}
	all.PerSecond, all.CPUMicros, all.P99Ms = middle(rate), middle(cpu), middle(slow)
	return all
}

func middle(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	return v[len(v)/2]
}

func ratio(a, b float64) string {
	if b == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f", a/b)
}
