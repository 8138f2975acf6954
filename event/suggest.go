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
	for f, target := range fieldLetters {
		limit := min(least-1, len(target)/3)
		if n := EditDistance(name, target, limit); n <= limit {
			best, least = Field(f), n
		}
	}
	return best, best < NumFields
}

// fieldLetters holds the letters of the names of the fields that a publisher
// may send.
var fieldLetters = func() (names [Metadata + 1]string) {
	for f := range names {
		names[f] = letters(fields[f].Name)
	}
	return names
}()

func letters(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '_' || r == '-' || r == ' ' || r == utf8.RuneError {
			return -1
		}
		return r
	}, strings.ToLower(s))
}

// EditDistance returns how many bytes must be inserted, deleted, replaced or
// swapped with their neighbour to turn a into b, or limit+1 when it is more than
// limit. It gives up as soon as that is certain, since what it is asked about a
// misspelt name is mostly how far it is from names that nobody meant.
func EditDistance(a, b string, limit int) int {
	for a != "" && b != "" && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for a != "" && b != "" && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	var memory [3 * 32]int
	width := len(b) + 1
	rows := memory[:]
	if 3*width > len(rows) {
		rows = make([]int, 3*width)
	}
	before, last, row := rows[:width], rows[width:2*width], rows[2*width:3*width]
	for j := range row {
		row[j] = j
	}
	lowest := 0 // in row
	for i := range len(a) {
		before, last, row = last, row, before
		row[0] = i + 1
		lowestBefore := lowest
		lowest = row[0]
		for j := range len(b) {
			n := min(last[j+1], row[j]) + 1
			if a[i] == b[j] {
				n = min(n, last[j])
			} else {
				n = min(n, last[j]+1)
			}
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				n = min(n, before[j-1]+1)
			}
			row[j+1] = n
			lowest = min(lowest, n)
		}
		if lowest > limit && lowestBefore >= limit { // a swap reaches over one row
			return limit + 1
		}
	}
	return min(row[len(b)], limit+1)
}
