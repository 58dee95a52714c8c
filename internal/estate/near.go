package estate

import (
	"slices"
	"strings"
)

// maxNear bounds the names that [Near] gives and maxNearLen the names it
// compares, so that a file full of slips stays cheap to judge.
const (
	maxNear    = 3
	maxNearLen = 64
)

// Near gives the known names that word was probably meant to be, best first:
// those within one edit for each three letters, and at most three edits. An
// edit is a letter added, lost, changed, or swapped with its neighbour
// (optimal string alignment). No name is near: nil.
func Near(word string, known []string) []string {
	type hit struct {
		name string
		cost int
	}
	limit := min(3, max(1, len(word)/3))
	low := strings.ToLower(word)
	var hits []hit
	for _, k := range known {
		if d := len(k) - len(word); d > limit || d < -limit || len(k) > maxNearLen || k == word {
			continue
		}
		if c := distance(low, strings.ToLower(k)); c <= limit {
			hits = append(hits, hit{k, c})
		}
	}
	slices.SortStableFunc(hits, func(a, b hit) int { return a.cost - b.cost })
	var out []string
	for _, h := range hits[:min(len(hits), maxNear)] {
		out = append(out, h.name)
	}
	return out
}

// distance is the optimal string alignment distance of a and b, in bytes.
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
