package ingest

// Two scanners tell where a JSON value ends. Neither decodes anything: that is
// the event decoder's work, and on the common road, one event a line, neither
// is used at all.

// maxNesting is how deep scanObject follows a value. It is deeper than an event
// may be, and bounds what a hostile body makes it look at twice.
const maxNesting = 64

// scanned is what scanObject found out.
type scanned uint8

const (
	closed scanned = iota // the object ends
	open                  // it is JSON as far as it goes, and goes on
	broken                // it is not JSON
)

// What scanObject expects next.
const (
	wantKeyOrEnd = iota
	wantKey
	wantColon
	wantValue
	wantValueOrEnd
	wantCommaOrEnd
)

// scanObject reads the JSON object that data begins with. It returns how many
// bytes belong to it, or at which byte it stops being JSON. It is strict in
// what separates a truncated line from an object that goes on in the next
// (brackets, commas, colons, no line break inside a string) and takes the
// spelling of numbers and words as it comes.
func scanObject(data []byte) (n int, s scanned) {
	var stack [maxNesting]byte // the open brackets
	depth, want := 0, wantValue
	if len(data) == 0 || data[0] != '{' {
		return 0, broken
	}
	for i := 0; i < len(data); {
		c := data[i]
		switch c {
		case ' ', '\t', '\r', '\n':
			i++
		case '{', '[':
			if want != wantValue && want != wantValueOrEnd || depth == maxNesting {
				return i, broken
			}
			stack[depth] = c
			depth++
			want = wantKeyOrEnd
			if c == '[' {
				want = wantValueOrEnd
			}
			i++
		case '}', ']':
			ok := want == wantCommaOrEnd || c == '}' && want == wantKeyOrEnd || c == ']' && want == wantValueOrEnd
			if !ok || depth == 0 || stack[depth-1] != c-2 { // '{' and '[' lie two before '}' and ']'
				return i, broken
			}
			i++
			if depth--; depth == 0 {
				return i, closed
			}
			want = wantCommaOrEnd
		case ',':
			if want != wantCommaOrEnd {
				return i, broken
			}
			want = wantValue
			if stack[depth-1] == '{' {
				want = wantKey
			}
			i++
		case ':':
			if want != wantColon {
				return i, broken
			}
			want = wantValue
			i++
		case '"':
			end, st := scanString(data, i)
			if st != closed {
				return end, st
			}
			i = end
			switch want {
			case wantKey, wantKeyOrEnd:
				want = wantColon
			case wantValue, wantValueOrEnd:
				want = wantCommaOrEnd
			default:
				return i, broken
			}
		default:
			if want != wantValue && want != wantValueOrEnd || depth == 0 || !isWord(c) {
				return i, broken
			}
			for i < len(data) && isWord(data[i]) {
				i++
			}
			want = wantCommaOrEnd
		}
	}
	return len(data), open
}

// scanString returns where the string that begins at data[i] ends.
func scanString(data []byte, i int) (int, scanned) {
	for i++; i < len(data); i++ {
		switch c := data[i]; {
		case c == '"':
			return i + 1, closed
		case c == '\\':
			i++
		case c < ' ':
			return i, broken
		}
	}
	return len(data), open
}

// isWord reports whether c can stand in a number, true, false or null.
func isWord(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '-' || c == '+' || c == '.'
}

// balance finds the end of a value by its brackets and quotes alone, so that an
// element of an array that is not JSON leaves the ones around it alone. It can
// be fed a value in pieces. The zero balance stands before the value.
type balance struct {
	depth             int
	inString, escaped bool
}

// feed goes on with data and returns how many bytes of it belong to the value
// and whether the value is over. A value without brackets is over before the
// first comma, closing bracket or blank.
func (b *balance) feed(data []byte) (n int, over bool) {
	for i, c := range data {
		if b.inString {
			switch {
			case b.escaped:
				b.escaped = false
			case c == '\\':
				b.escaped = true
			case c == '"':
				b.inString = false
				if b.depth == 0 {
					return i + 1, true
				}
			}
			continue
		}
		switch c {
		case '"':
			b.inString = true
		case '{', '[':
			b.depth++
		case '}', ']':
			if b.depth == 0 {
				return i, true
			}
			if b.depth--; b.depth == 0 {
				return i + 1, true
			}
		case ',', ' ', '\t', '\r', '\n':
			if b.depth == 0 {
				return i, true
			}
		}
	}
	return len(data), false
}
