package event

import (
	"strings"
	"unicode/utf8"
)

// nearestField returns the field whose name is so close to name that it is
// likely meant: at most a third of its letters, and at most two, differ. Case,
// dashes and underscores do not count.
func nearestField(name string) (Field, bool) {
	if len(name) > 2*maxName {
		return NumFields, false
	}
	name = letters(name)
	best, least := NumFields, 3
	for f := range EventID + Metadata + 1 {
		target := letters(fields[f].Name)
		if n := editDistance(name, target); n < least && 3*n <= len(target) {
			best, least = f, n
		}
	}
	return best, best < NumFields
}

func letters(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r == ' ' || r == utf8.RuneError {
			return -1
		}
		return r
	}, strings.ToLower(s))
}

// editDistance returns how many bytes must be inserted, deleted, replaced or
// swapped with their neighbour to turn a into b.
func editDistance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, last, row = last, row, before
		row[0] = i + 1
		for j := range len(b) {
			row[j+1] = min(last[j+1]+1, row[j]+1)
			if a[i] == b[j] {
				row[j+1] = min(row[j+1], last[j])
			} else {
				row[j+1] = min(row[j+1], last[j]+1)
			}
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}
