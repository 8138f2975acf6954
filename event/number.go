package event

import (
	"cmp"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// A double in its normal range holds any decimal of up to 15 digits so well that
// no two of them are the same double, and that their shortest form is their own.
const (
	doubleDigits = 15
	minNormal    = 0x1p-1022
)

// appendNumber appends the canonical form of a JSON number: RFC 8785's, which
// is ECMAScript's shortest form of the nearest double, where that denotes the
// same decimal value as lit; otherwise lit itself, byte for byte. So 64-bit
// identities, long decimals and 1e400 survive as they were written.
func appendNumber(dst, lit []byte) []byte {
	f, err := strconv.ParseFloat(stringOf(lit), 64)
	if err != nil { // out of range
		return append(dst, lit...)
	}
	n := len(dst)
	dst = appendFloat(dst, f)
	if len(lit) <= doubleDigits && math.Abs(f) >= minNormal {
		return dst // the same value for certain
	}
	if CompareNumbers(stringOf(dst[n:]), stringOf(lit)) != 0 {
		dst = append(dst[:n], lit...)
	}
	return dst
}

// appendFloat appends a finite f as ECMAScript's Number::toString writes it
// (RFC 8785 §3.2.2.3).
func appendFloat(dst []byte, f float64) []byte {
	a := math.Abs(f)
	if a == 0 {
		return append(dst, '0') // -0 too
	}
	if a >= 1e-6 && a < 1e21 {
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	if n := len(dst); dst[n-4] == 'e' && dst[n-2] == '0' { // e-07 is written e-7
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst
}

// CompareNumbers compares two JSON number literals as the decimals that they
// denote, without loss of precision and whatever their exponents: -1 if a < b,
// 0 if they are equal, 1 if a > b. What is no number counts as 0.
func CompareNumbers(a, b string) int {
	endA, simpleA := scanNumber(bytesOf(a), 0)
	endB, simpleB := scanNumber(bytesOf(b), 0)
	if simpleA && simpleB && endA == len(a) && endB == len(b) {
		x, _ := strconv.ParseFloat(a, 64)
		y, _ := strconv.ParseFloat(b, 64)
		return cmp.Compare(x, y)
	}
	x, y := parseDecimal(a), parseDecimal(b)
	if x.sign != y.sign {
		return cmp.Compare(x.sign, y.sign)
	}
	if x.sign == 0 {
		return 0
	}
	return compareMagnitudes(x, y) * x.sign
}

// decimal is 0.d₁d₂d₃… × 10^(point+exp), with d₁ not 0, where the digits are
// those of whole and then of frac.
type decimal struct {
	sign        int // 0 for zero, whatever else is set
	whole, frac string
	point       int    // digits before the point; negative: zeros after it
	exp         string // digits of the exponent as written, without leading zeros
	negExp      bool
}

func parseDecimal(s string) (d decimal) {
	if end, _ := scanNumber(bytesOf(s), 0); end != len(s) || s == "" {
		return decimal{}
	}
	d.sign = 1
	if s[0] == '-' {
		d.sign = -1
		s = s[1:]
	}
	i := strings.IndexByte(s, 'e')
	if i < 0 {
		i = strings.IndexByte(s, 'E')
	}
	if i >= 0 {
		d.negExp = s[i+1] == '-'
		d.exp = strings.TrimLeft(s[i+1:], "+-0")
		s = s[:i]
	}
	d.whole, d.frac, _ = strings.Cut(s, ".")
	if d.whole == "0" {
		n := len(d.frac)
		d.whole, d.frac = "", strings.TrimLeft(d.frac, "0")
		d.point = len(d.frac) - n
	} else {
		d.point = len(d.whole)
	}
	if d.whole == "" && d.frac == "" {
		d.sign = 0
	}
	return d
}

func compareMagnitudes(x, y decimal) int {
	if c := compareExponents(x, y); c != 0 {
		return c
	}
	for i := range max(len(x.whole)+len(x.frac), len(y.whole)+len(y.frac)) {
		if c := cmp.Compare(x.digit(i), y.digit(i)); c != 0 {
			return c
		}
	}
	return 0
}

// compareExponents compares point+exp of x and y.
func compareExponents(x, y decimal) int {
	const fits = 17 // digits of an exponent that leave room to add a point
	if len(x.exp) <= fits && len(y.exp) <= fits {
		return cmp.Compare(x.exponent(), y.exponent())
	}
	return x.bigExponent().Cmp(y.bigExponent())
}

func (d decimal) exponent() int64 {
	var n int64
	for i := range len(d.exp) {
		n = n*10 + int64(d.exp[i]-'0')
	}
	if d.negExp {
		n = -n
	}
	return n + int64(d.point)
}

func (d decimal) bigExponent() *big.Int {
	n, _ := new(big.Int).SetString("0"+d.exp, 10)
	if d.negExp {
		n.Neg(n)
	}
	return n.Add(n, big.NewInt(int64(d.point)))
}

// digit returns the i-th digit of d, '0' past the last one.
func (d decimal) digit(i int) byte {
	switch {
	case i < len(d.whole):
		return d.whole[i]
	case i-len(d.whole) < len(d.frac):
		return d.frac[i-len(d.whole)]
	}
	return '0'
}
