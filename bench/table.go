package main

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
)

// direction says which of two values is the better one.
type direction bool

const (
	higher direction = true
	lower  direction = false
)

// table gathers what was measured, a row for each measure and a column for each
// program.
type table struct {
	size, rounds int
	programs     []string
	rows         []*row
	first        []*row // of queries: the first run after the start
}

type row struct {
	name, unit string
	better     direction
	values     [][]float64 // by program, then round
}

func newTable(o *options, size, rounds int) *table {
	t := &table{size: size, rounds: rounds}
	for _, p := range o.programs {
		t.programs = append(t.programs, p.Name())
	}
	return t
}

func (t *table) add(column int, name, unit string, better direction, value float64) {
	t.rows = t.put(t.rows, column, name, unit, better, value)
}

func (t *table) addFirst(column int, name, unit string, better direction, value float64) {
	t.first = t.put(t.first, column, name, unit, better, value)
}

func (t *table) put(rows []*row, column int, name, unit string, better direction, value float64) []*row {
	i := slices.IndexFunc(rows, func(r *row) bool { return r.name == name })
	if i < 0 {
		i = len(rows)
		rows = append(rows, &row{name: name, unit: unit, better: better, values: make([][]float64, len(t.programs))})
	}
	rows[i].values[column] = append(rows[i].values[column], value)
	return rows
}

// write writes the table as Markdown that can be read as it is.
func (t *table) write(w io.Writer) error {
	rounds := "one round"
	if t.rounds > 1 {
		rounds = fmt.Sprintf("%d rounds: the median, with the least and the most in brackets", t.rounds)
	}
	_, err := fmt.Fprintf(w, "\n### %s events\n\nOf %s.\n\n%s\nThe first of these queries after the start, before anything was warm:\n\n%s",
		thousands(float64(t.size)), rounds, t.markdown(t.rows), t.markdown(t.first))
	return err
}

func (t *table) markdown(rows []*row) string {
	head := append([]string{"", "unit"}, t.programs...)
	for _, p := range t.programs[1:] {
		head = append(head, p+" / "+t.programs[0])
	}
	lines := [][]string{head}
	for _, r := range rows {
		line := []string{r.name, r.unit}
		for _, v := range r.values {
			line = append(line, spread(v, ""))
		}
		for _, v := range r.values[1:] {
			line = append(line, spread(r.ratios(v), "×"))
		}
		lines = append(lines, line)
	}
	return markdown(lines)
}

// ratios returns, round by round, how many times better the first program did
// than the one with these values.
func (r *row) ratios(peer []float64) []float64 {
	out := make([]float64, min(len(peer), len(r.values[0])))
	for i := range out {
		a, b := peer[i], r.values[0][i]
		if r.better == higher {
			a, b = b, a
		}
		out[i] = a / b
	}
	return out
}

// spread writes the median of the values with its unit and, if there are several,
// the least and the most.
func spread(v []float64, unit string) string {
	switch len(v) {
	case 0:
		return "–"
	case 1:
		return number(v[0]) + unit
	}
	return fmt.Sprintf("%s%s (%s–%s)", number(median(v)), unit, number(slices.Min(v)), number(slices.Max(v)))
}

// median returns the middle value, of an even number the lower one.
func median[T cmp.Ordered](v []T) T {
	s := slices.Sorted(slices.Values(v))
	return s[(len(s)-1)/2]
}

// number writes three significant digits, and all digits before the point.
func number(x float64) string {
	if x >= 1000 {
		return thousands(x)
	}
	decimals := 2
	if x > 0 {
		decimals = max(0, 2-int(math.Floor(math.Log10(x))))
	}
	return strconv.FormatFloat(x, 'f', min(decimals, 3), 64)
}

// thousands writes an integer with separators.
func thousands(x float64) string {
	s := strconv.FormatInt(int64(math.Round(x)), 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// markdown sets lines, the first of which is the head, with columns of equal
// width. Numbers stand to the right.
func markdown(lines [][]string) string {
	width := make([]int, len(lines[0]))
	for _, l := range lines {
		for i, cell := range l {
			width[i] = max(width[i], len([]rune(cell)))
		}
	}
	var b strings.Builder
	for n, l := range lines {
		for i, cell := range l {
			pad := strings.Repeat(" ", width[i]-len([]rune(cell)))
			if i < 2 {
				cell += pad
			} else {
				cell = pad + cell
			}
			b.WriteString("| " + cell + " ")
		}
		b.WriteString("|\n")
		if n > 0 {
			continue
		}
		for i := range l {
			rule := strings.Repeat("-", width[i]+1)
			if i < 2 {
				b.WriteString("|:" + rule)
			} else {
				b.WriteString("|" + rule + ":")
			}
		}
		b.WriteString("|\n")
	}
	return b.String()
}
