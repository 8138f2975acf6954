package redact

import "strings"

// A card number has 13 to 19 digits.
const minCard, maxCard = 13, 19

// issuer is a range of the first digits of card numbers, and their lengths.
type issuer struct {
	digits      int // how many
	first, last int
	min, max    int // length of the number
}

// issuers are the ranges of ISO/IEC 7812 that the card schemes publish.
var issuers = []issuer{
	{1, 4, 4, 13, 19},           // Visa
	{2, 51, 55, 16, 16},         // Mastercard
	{4, 2221, 2720, 16, 16},     // Mastercard
	{2, 34, 34, 15, 15},         // American Express
	{2, 37, 37, 15, 15},         // American Express
	{4, 6011, 6011, 16, 19},     // Discover
	{3, 644, 649, 16, 19},       // Discover
	{2, 65, 65, 16, 19},         // Discover, RuPay
	{2, 60, 60, 16, 16},         // RuPay
	{3, 300, 305, 14, 19},       // Diners Club
	{4, 3095, 3095, 14, 19},     // Diners Club
	{2, 36, 36, 14, 19},         // Diners Club
	{2, 38, 39, 14, 19},         // Diners Club
	{4, 3528, 3589, 16, 19},     // JCB
	{2, 62, 62, 16, 19},         // UnionPay
	{2, 81, 82, 16, 19},         // UnionPay, RuPay
	{4, 2200, 2204, 16, 19},     // Mir
	{4, 5018, 5018, 13, 19},     // Maestro
	{4, 5020, 5020, 13, 19},     // Maestro
	{4, 5038, 5038, 13, 19},     // Maestro
	{4, 5893, 5893, 13, 19},     // Maestro
	{4, 6304, 6304, 13, 19},     // Maestro
	{4, 6759, 6759, 13, 19},     // Maestro
	{4, 6761, 6763, 13, 19},     // Maestro
	{6, 508500, 508999, 16, 16}, // RuPay
}

// isCard reports whether digits are the number of a card: an issuer's, with a
// right check digit (Luhn).
func isCard(digits []byte) bool {
	if len(digits) < minCard || len(digits) > maxCard {
		return false
	}
	known := false
	for _, r := range issuers {
		n := 0
		for _, c := range digits[:r.digits] {
			n = n*10 + int(c-'0')
		}
		known = known || n >= r.first && n <= r.last && len(digits) >= r.min && len(digits) <= r.max
	}
	if !known {
		return false
	}
	sum := 0
	for i := range digits {
		d := int(digits[len(digits)-1-i] - '0')
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}

// isCardNumber reports whether a number in canonical JSON is that of a card.
func isCardNumber(literal string) bool {
	return strings.Trim(literal, "0123456789") == "" && isCard([]byte(literal))
}

// findCards returns the card numbers in text: not part of a word or a decimal,
// and written without separators or in a card's groups with one space or hyphen
// between each two. Groups of other lengths are something else: the tail of a
// UUID, a date and a time.
func findCards(text string) (found [][]int) {
	for i := 0; i < len(text); i++ {
		if !isDigit(text[i]) || i > 0 && (isWord(text[i-1]) || text[i-1] == '.' && i > 1 && isDigit(text[i-2])) {
			continue
		}
		if end := cardEnd(text, i); end > 0 {
			found = append(found, []int{i, end})
			i = end
		}
	}
	return found
}

// cardEnd returns the end of the longest card number that begins at text[start],
// 0 if none does.
func cardEnd(text string, start int) (end int) {
	var digits [maxCard]byte
	var groups []int // ends of them, in digits
	var array [8]int
	groups = array[:0]
	n, sep := 0, byte(0)
	for i := start; i < len(text) && n < maxCard && len(groups) < len(array); {
		for i < len(text) && isDigit(text[i]) {
			if n == maxCard {
				return end
			}
			digits[n] = text[i]
			n++
			i++
		}
		groups = append(groups, n)
		if (i == len(text) || !isWord(text[i])) && areCardGroups(groups) && isCard(digits[:n]) {
			end = i
		}
		if i+1 >= len(text) || text[i] != ' ' && text[i] != '-' || sep != 0 && text[i] != sep || !isDigit(text[i+1]) {
			break
		}
		sep = text[i]
		i++
	}
	return end
}

// areCardGroups reports whether a card number is written in groups that end at
// these digits: all in one, by fours, or 4-6-4 and 4-6-5.
func areCardGroups(ends []int) bool {
	n := len(ends)
	if n == 1 {
		return true
	}
	if n == 3 && ends[0] == 4 && ends[1] == 10 {
		return ends[2] == 14 || ends[2] == 15
	}
	for i, end := range ends[:n-1] {
		if end != 4*(i+1) {
			return false
		}
	}
	return ends[n-1]-ends[n-2] <= 4
}

// mayHoldCard reports whether text has 13 digits with at most one space or hyphen
// between each two.
func mayHoldCard(text string) bool {
	run, gap := 0, 0
	for i := range len(text) {
		switch c := text[i]; {
		case isDigit(c):
			if run++; run >= minCard {
				return true
			}
			gap = 0
		case (c == ' ' || c == '-') && gap == 0:
			gap++
		default:
			run, gap = 0, 0
		}
	}
	return false
}

func isDigit(c byte) bool { return c-'0' <= 9 }

// isWord reports whether c is part of a word: an ASCII letter or digit, or '_'.
func isWord(c byte) bool { return isDigit(c) || lower[c]-'a' < 26 || c == '_' }
