package filter

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/daybook-log/daybook/event"
)

// number is the operand of a numeric comparison.
type number struct {
	set   bool // there is one, and numbers are compared as such
	text  string
	short bool // isShort(text)
	float float64
}

// newNumber returns the number that s is, the zero number where s is none or
// does not stand inside JSON.
func newNumber(s string, json bool) number {
	if !json || !isNumber(s) {
		return number{}
	}
	n := number{set: true, text: s, short: isShort(s)}
	if n.short {
		n.float, _ = strconv.ParseFloat(s, 64)
	}
	return n
}

// isShort reports whether the number s has at most 15 digits and no exponent:
// a double tells any two such decimals apart and orders them rightly.
func isShort(s string) bool { return len(s) <= 15 && !strings.ContainsAny(s, "eE") }

// compare compares v, a number, with n.
func (n *number) compare(v string) int {
	if n.short && isShort(v) {
		f, _ := strconv.ParseFloat(v, 64)
		return cmp.Compare(f, n.float)
	}
	return event.CompareNumbers(v, n.text)
}

// isNumber reports whether s is a number as JSON writes it.
func isNumber(s string) bool {
	i := 0
	digits := func() bool {
		from := i
		for i < len(s) && s[i]-'0' <= 9 {
			i++
		}
		return i > from
	}
	if i < len(s) && s[i] == '-' {
		i++
	}
	whole := i
	if !digits() || s[whole] == '0' && i > whole+1 {
		return false
	}
	if i < len(s) && s[i] == '.' {
		i++
		if !digits() {
			return false
		}
	}
	if i < len(s) && s[i]|0x20 == 'e' {
		i++
		if i < len(s) && (s[i] == '+' || s[i] == '-') {
			i++
		}
		if !digits() {
			return false
		}
	}
	return i == len(s)
}
