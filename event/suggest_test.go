package event

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestEditDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b  string
		limit int
		want  int
	}{
		{"", "", 0, 0},
		{"action", "action", 0, 0},
		{"acton", "action", 2, 1},
		{"actiion", "action", 2, 1},
		{"actoin", "action", 2, 1},
		{"axtion", "action", 2, 1},
		{"ca", "abc", 5, 3},
		{"actino", "action", 0, 1},
		{"", "abc", 3, 3},
		{"", "abc", 2, 3},
		{"resource", "outcome", 2, 3},
		{strings.Repeat("x", 100), strings.Repeat("y", 100), 200, 100},
		{strings.Repeat("x", 100), strings.Repeat("y", 100), 3, 4},
	} {
		if got := EditDistance(tt.a, tt.b, tt.limit); got != tt.want {
			t.Errorf("%s to %s within %d: got %d, want %d", tt.a, tt.b, tt.limit, got, tt.want)
		}
	}
}

// TestEditDistanceGivesUpInTime: a limit changes nothing about what lies within it.
func TestEditDistanceGivesUpInTime(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	word := func() string {
		b := make([]byte, rng.IntN(7))
		for i := range b {
			b[i] = "abc"[rng.IntN(3)]
		}
		return string(b)
	}
	for range 20_000 {
		a, b := word(), word()
		exact := EditDistance(a, b, 10)
		if back := EditDistance(b, a, 10); back != exact {
			t.Fatalf("%s to %s is %d, back is %d", a, b, exact, back)
		}
		for limit := range 6 {
			if got := EditDistance(a, b, limit); got != min(exact, limit+1) {
				t.Fatalf("%s to %s within %d: got %d; without limit %d", a, b, limit, got, exact)
			}
		}
	}
}

// BenchmarkDecodeMisspelt is an event of as many unknown names as are reported.
func BenchmarkDecodeMisspelt(b *testing.B) {
	var text strings.Builder
	for i := range maxErrors {
		name := []string{"userid", "sesion", "recource", "nothing_like_it"}[i%4]
		fmt.Fprintf(&text, `,"%s%c":1`, name, 'a'+i/4)
	}
	data, e := []byte("{"+text.String()[1:]+"}"), new(Event)
	var d Decoder
	b.ReportAllocs()
	for b.Loop() {
		if d.Decode(data, e) == nil {
			b.Fatal("accepted")
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*maxErrors), "ns/name")
}
