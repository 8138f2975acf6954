package event

import (
	"math/big"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
)

func TestCompareNumbers(t *testing.T) {
	// Each line holds spellings of one number; the lines rise.
	lines := []string{
		"-1e99999999999999999999999999999999999",
		"-1e99999999999999999999999999999999998 -0.1e99999999999999999999999999999999999",
		"-9223372036854775808 -9223372036854775808.0 -9.223372036854775808e18",
		"-100 -1e2 -1000e-1",
		"-2",
		"-1.5 -15e-1",
		"-1e-400",
		"-1e-99999999999999999999999999999999999",
		"0 -0 0.000 0e5 -0e-99999999999999999999999999 x 1x 01 +1",
		"1e-99999999999999999999999999999999999 10e-100000000000000000000000000000000000",
		"1e-400 0.1e-399",
		"0.001 1e-3 0.0010 10e-0004",
		"0.00100000000000000000000000000001",
		"1 1.0 1e0 10e-1 0.1e1 1E+0",
		"1.5 1.50 150e-2",
		"9 9.0",
		"10 1e1 1.0e01",
		"9007199254740992",
		"9007199254740993 9007199254740993.0 0.9007199254740993e16",
		"1e400 10e399",
		"2e400",
		"1e99999999999999999999999999999999999",
	}
	for i, a := range lines {
		for j, b := range lines {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			for _, x := range strings.Fields(a) {
				for _, y := range strings.Fields(b) {
					if got := CompareNumbers(x, y); got != want {
						t.Errorf("CompareNumbers(%s, %s) = %d, want %d", x, y, got, want)
					}
				}
			}
		}
	}
	if CompareNumbers("", "0") != 0 {
		t.Error("the empty text is no 0")
	}
}

// TestCompareNumbersAgainstRationals checks random literals against math/big.
func TestCompareNumbersAgainstRationals(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	literal := func() string {
		s := strconv.Itoa(rnd.IntN(2000) - 1000)
		if rnd.IntN(2) == 0 {
			s += "." + strconv.Itoa(rnd.IntN(1000))
		}
		if rnd.IntN(2) == 0 {
			s += "e" + strconv.Itoa(rnd.IntN(9)-4)
		}
		return s
	}
	for range 20000 {
		a, b := literal(), literal()
		x, _ := new(big.Rat).SetString(a)
		y, _ := new(big.Rat).SetString(b)
		if got, want := CompareNumbers(a, b), x.Cmp(y); got != want {
			t.Fatalf("CompareNumbers(%s, %s) = %d, want %d", a, b, got, want)
		}
	}
}
