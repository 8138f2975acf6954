//go:build linux

package main

import (
	"math"
	"math/rand/v2"
	"testing"
)

// What the soak takes for a leak, and what not: a rise of both kinds above 10.
func TestSoakTrend(t *testing.T) {
	const n = 600 // samples of 50 minutes
	noise := rand.New(rand.NewPCG(1, 1))
	for _, c := range []struct {
		name  string
		at    func(i int) float64
		leaks bool
	}{
		{"nothing", func(int) float64 { return 100 }, false},
		{"noise", func(int) float64 { return 100 + 40*noise.Float64() }, false},
		{"a steady leak", func(i int) float64 { return 100 + float64(i)/20 }, true},
		{"a leak in noise", func(i int) float64 { return 100 + float64(i)/20 + 40*noise.Float64() }, true},
		{"a leak between collections", func(i int) float64 { return 100 + float64(i)/20 + float64(i%20) }, true},
		{"a step that stays", func(i int) float64 { return 100 + 30*math.Floor(2*float64(i)/n) }, true},
		{"a saw", func(i int) float64 { return 100 + float64(i%50) }, false},
		{"a wave", func(i int) float64 { return 100 + 30*math.Sin(float64(i)/20) }, false},
		{"a peak near the end", func(i int) float64 {
			if i > n-30 && i < n-5 {
				return 400
			}
			return 100
		}, false},
		{"a fall", func(i int) float64 { return 200 - float64(i)/20 }, false},
	} {
		var v []float64
		for i := range n {
			v = append(v, c.at(i))
		}
		if line, step := trend(v); (min(line, step) > 10) != c.leaks {
			t.Errorf("%s: rises by %.1f (line), %.1f (medians)", c.name, line, step)
		}
	}
}
