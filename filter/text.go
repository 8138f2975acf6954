package filter

import (
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/daybook-log/daybook/event"
)

// Text matches an event one of whose string values contains the needle, without
// regard to case. String values are those of the text fields (not identity,
// time and integers), and every string value inside changes, labels and
// metadata, at any depth; keys are not values.
//
// Case is Unicode's simple case folding: one character against one, so that K,
// k and the Kelvin sign are the same and ß and ss are not.
//
// A Text that [Hidden.Restrict] made does not look at what is hidden. Its methods
// know; whoever evaluates it leaves the last word to Match.
type Text struct {
	Needle string // as written; never ""
	folded folded
	json   string // the needle as it stands in a canonical JSON string
	inJSON folded
	hidden Hidden // what it does not look at
}

func newText(needle string) *Text {
	json := string(appendJSON(nil, needle))
	return &Text{Needle: needle, folded: newFolded(needle), json: json, inJSON: newFolded(json)}
}

// Match reports whether one field's stored text (f says which) has a string
// value that contains the needle and is not hidden. "" has none.
func (t *Text) Match(f event.Field, field string) bool {
	if field == "" || !f.IsText() || t.hidden.whole.Has(f) {
		return false
	}
	if f.Info().Kind != event.KindJSON {
		return t.folded.in(field)
	}
	// A string value that contains the needle contains it escaped too, so most
	// documents are ruled out without looking for their strings.
	if !t.inJSON.in(field) {
		return false
	}
	found := false
	look := func(s string) bool {
		found = t.folded.in(s)
		return !found
	}
	if m := t.hidden.mask(f); m != nil && m.mayHide(field) {
		m.eachString(field, m.keys, look)
	} else {
		event.EachString(field, look)
	}
	return found
}

// MayMatch reports whether one of several stored texts of field f may match, given
// all of them in one piece without anything between. False is certain: what is in
// one of them is in the piece. True may be owed to what is hidden, or to where two
// texts meet. Looking through a piece costs a fraction of asking [Text.Match] for
// each text.
func (t *Text) MayMatch(f event.Field, piece string) bool {
	if t.hidden.whole.Has(f) {
		return false
	}
	if f.Info().Kind == event.KindJSON {
		return t.inJSON.in(piece)
	}
	return t.folded.in(piece)
}

// Piece returns what every stored text of field f that matches contains, in some
// case.
func (t *Text) Piece(f event.Field) string {
	if f.Info().Kind == event.KindJSON {
		return t.json
	}
	return t.Needle
}

func (t *Text) matchEvent(e *event.Event) bool {
	for f := event.UserID; f.IsText(); f++ {
		if t.Match(f, e.Text(f)) {
			return true
		}
	}
	return false
}

// String implements Expr.
func (t *Text) String() string { return string(t.append(nil)) }

func (t *Text) append(b []byte) []byte { return appendLiteral(b, t.Needle, inText) }

// folded is a text to search for without regard to case.
type folded struct {
	ascii   string    // the needle in lower case if it is ASCII, else ""
	rare    int       // index into ascii of the byte that texts have least often
	orbits  [][4]rune // for each character of the needle, those that fold to it
	foreign bool      // ascii has a letter that a character outside ASCII folds to
}

func newFolded(needle string) folded {
	var f folded
	ascii := true
	for _, r := range needle {
		f.orbits = append(f.orbits, orbit(r))
		ascii = ascii && r < utf8.RuneSelf
	}
	if !ascii {
		return f
	}
	f.ascii = strings.ToLower(needle)
	f.foreign = strings.ContainsAny(f.ascii, "ks") // K (Kelvin sign) and ſ (long s)
	for i := range f.ascii {
		if commonness(f.ascii[i]) < commonness(f.ascii[f.rare]) {
			f.rare = i
		}
	}
	return f
}

// commonness ranks a byte by how often it stands in identifiers and prose.
// Only the order matters, and only for speed.
func commonness(c byte) int {
	const rising = "zqxjkvbpygfwmucldrhsnioate"
	switch {
	case c >= 'a' && c <= 'z':
		return 10 + 2*strings.IndexByte(rising, c)
	case c == ' ' || c == '"' || c == '-' || c == '.' || c == '/' || c == ':':
		return 40
	case c >= '0' && c <= '9':
		return 35
	}
	return 0
}

// orbit returns the characters that fold to the same as r, r among them. No
// character has more than three others.
func orbit(r rune) (o [4]rune) {
	for i := range o {
		o[i] = r
	}
	i := 1
	for next := unicode.SimpleFold(r); next != r && i < len(o); next = unicode.SimpleFold(next) {
		o[i] = next
		i++
	}
	return o
}

// in reports whether s contains the needle.
func (f *folded) in(s string) bool {
	if f.ascii == "" {
		return f.inUnicode(s)
	}
	if f.inASCII(s) {
		return true
	}
	return f.foreign && (strings.Contains(s, "\u212a") || strings.Contains(s, "\u017f")) && f.inUnicode(s)
}

// inASCII looks for the needle's rarest byte, in either case, and compares
// around it.
func (f *folded) inASCII(s string) bool {
	n := len(f.ascii)
	if len(s) < n {
		return false
	}
	hay := s[f.rare : len(s)-(n-1-f.rare)] // where the rare byte may stand
	lower := f.ascii[f.rare]
	upper := lower
	if lower >= 'a' && lower <= 'z' {
		upper = lower - 'a' + 'A'
	}
	nextLower, nextUpper := 0, 0
	if upper == lower {
		nextUpper = math.MaxInt
	}
	for i := 0; ; {
		if nextLower <= i {
			nextLower = indexFrom(hay, lower, i)
		}
		if nextUpper <= i {
			nextUpper = indexFrom(hay, upper, i)
		}
		i = min(nextLower, nextUpper)
		if i == math.MaxInt {
			return false
		}
		if equalFoldASCII(s[i:i+n], f.ascii) {
			return true
		}
		i++
	}
}

// indexFrom returns the index of c in s at or after i, math.MaxInt for none.
func indexFrom(s string, c byte, i int) int {
	if n := strings.IndexByte(s[i:], c); n >= 0 {
		return i + n
	}
	return math.MaxInt
}

// equalFoldASCII reports whether s, in lower case, is lower; their lengths are
// the same.
func equalFoldASCII(s, lower string) bool {
	for i := range len(lower) {
		c := s[i]
		if c-'A' <= 'Z'-'A' {
			c |= 0x20
		}
		if c != lower[i] {
			return false
		}
	}
	return true
}

// inUnicode compares character by character from every start.
func (f *folded) inUnicode(s string) bool {
	first := f.orbits[0]
	for i, r := range s {
		if slices.Contains(first[:], r) && f.startsAt(s[i:]) {
			return true
		}
	}
	return false
}

func (f *folded) startsAt(s string) bool {
	for i := range f.orbits {
		r, size := utf8.DecodeRuneInString(s)
		if size == 0 || !slices.Contains(f.orbits[i][:], r) {
			return false
		}
		s = s[size:]
	}
	return true
}
