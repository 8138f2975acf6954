package filter

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/daybook-log/daybook/event"
)

// The tests in this file compare what is written for speed with what is
// written for plainness, on random input over few characters.

func randomText(rnd *rand.Rand, alphabet string, n int) string {
	letters := []rune(alphabet)
	var b strings.Builder
	for range rnd.IntN(n) {
		b.WriteRune(letters[rnd.IntN(len(letters))])
	}
	return b.String()
}

func TestFoldedAgainstEqualFold(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 50_000 {
		s := randomText(rnd, "aAbkKsS1_\u212aſåÅ\u212bσςΣ", 10)
		needle := randomText(rnd, "abkKsS1\u212aſåσ", 4)
		if needle == "" {
			continue
		}
		want := false
		runes, n := []rune(s), utf8.RuneCountInString(needle)
		for i := range len(runes) - n + 1 {
			want = want || strings.EqualFold(string(runes[i:i+n]), needle)
		}
		if f := newFolded(needle); f.in(s) != want {
			t.Fatalf("%q in %q: %v, want %v", needle, s, !want, want)
		}
	}
}

func TestPatternAgainstRegexp(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 2_000 {
		query := randomText(rnd, "ab**", 7) + "*"
		re := regexp.MustCompile("^" + strings.ReplaceAll(query, "*", ".*") + "$")
		x, err := Parse("user_id:" + query)
		if err != nil {
			t.Fatal(err)
		}
		for range 20 {
			s := "b" + randomText(rnd, "ab", 8)
			if got := x.(*Term).MatchText(s); got != re.MatchString(s) {
				t.Fatalf("%s on %q: %v", query, s, got)
			}
		}
	}
}

func TestIntervalsAgainstEach(t *testing.T) {
	rnd := rand.New(rand.NewPCG(5, 6))
	for range 2_000 {
		var alone []*Term
		var parts []string
		for range 1 + rnd.IntN(6) {
			lo := rnd.IntN(30)
			part := fmt.Sprintf("%d..%d", lo, lo+rnd.IntN(6))
			x, err := Parse("offset:" + part)
			if err != nil {
				t.Fatal(err)
			}
			alone, parts = append(alone, x.(*Term)), append(parts, part)
		}
		x, err := Parse("offset:(" + strings.Join(parts, " or ") + ")")
		if err != nil {
			t.Fatal(err)
		}
		lo, hi := x.(*Term).IntRange()
		for v := range int64(40) {
			want := false
			for _, term := range alone {
				want = want || term.MatchInt(v)
			}
			if got := x.(*Term).MatchInt(v); got != want || got && (v < lo || v > hi) {
				t.Fatalf("%s on %d: %v, want %v (range %d to %d)", x, v, got, want, lo, hi)
			}
		}
	}
}

func TestNumberAgainstCompareNumbers(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 8))
	next := func() string {
		s := fmt.Sprint(rnd.Int64N(1 << rnd.IntN(62)))
		if rnd.IntN(2) == 0 {
			s += fmt.Sprintf(".%d", rnd.Int64N(1<<rnd.IntN(40)))
		}
		if rnd.IntN(3) == 0 {
			s = "-" + s
		}
		return s
	}
	for range 20_000 {
		a, b := next(), next()
		n := newNumber(b, true)
		if rnd.IntN(4) == 0 {
			a = b + "0"
		}
		if got, want := n.compare(a), event.CompareNumbers(a, b); isNumber(a) && got != want {
			t.Fatalf("%s against %s: %d, want %d", a, b, got, want)
		}
	}
}

// TestMatchDoesNotAllocate holds the Match methods to what the package promises.
func TestMatchDoesNotAllocate(t *testing.T) {
	e := testEvents()[1]
	for _, tt := range matchTests {
		x, err := ParseAt(tt.query, testNow)
		if err != nil || tt.want == "error" {
			continue
		}
		if n := testing.AllocsPerRun(10, func() { Match(x, &e) }); n > 0 && !strings.Contains(e.Metadata, `\`) {
			t.Errorf("%s: %v allocations", tt.query, n)
		}
	}
}
