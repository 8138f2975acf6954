package event

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"
)

// rewriter parses JSON values strictly, writes their canonical form, and
// collects what is wrong with them. A method that parses returns the index after
// what it parsed, or -1 after an error that cannot be read past; such an error is
// the last in errs.
type rewriter struct {
	src  []byte // the document
	out  []byte // the canonical form, as far as it is written
	root string // where in an event the values lie: a field, or ""
	errs Errors

	// Scratch.
	tmp     []byte
	members []member // of all the objects that are open, innermost last
	path    []step   // from root to the value being parsed
}

// member is one member of an object as it lies in out.
type member struct{ start, colon, end int }

// step leads from a container to the value in it: by a key that lies in out
// between quotes, or by an index. Before the first value index is -1.
type step struct{ start, end, index int }

func (r *rewriter) value(i, depth int) int {
	switch c := at(r.src, i); {
	case c == '"':
		return r.text(i)
	case c == '{':
		return r.object(i+1, depth)
	case c == '[':
		return r.array(i+1, depth)
	case c == '-' || isDigit(c):
		end, simple := scanNumber(r.src, i)
		switch {
		case end < 0:
			return r.syntax(i, "a number")
		case simple:
			r.out = append(r.out, r.src[i:end]...)
		default:
			r.out = appendNumber(r.out, r.src[i:end])
		}
		return end
	default:
		word := literal(c)
		if word == "" || !bytes.HasPrefix(r.src[i:], bytesOf(word)) {
			return r.syntax(i, "a value")
		}
		r.out = append(r.out, word...)
		return i + len(word)
	}
}

func (r *rewriter) object(i, depth int) int {
	if depth > MaxDepth {
		return r.tooDeep()
	}
	firstMember, level := len(r.members), len(r.path)
	r.path = append(r.path, step{index: -1})
	r.out = append(r.out, '{')
	sorted := true
	i = skipSpace(r.src, i)
	if at(r.src, i) == '}' {
		i++
	} else {
		if i, sorted = r.objectMembers(i, depth, firstMember, level); i < 0 {
			return -1
		}
	}
	if !sorted {
		r.sortMembers(r.members[firstMember:], level)
	}
	r.out = append(r.out, '}')
	r.members = r.members[:firstMember]
	r.path = r.path[:level]
	return i
}

// objectMembers parses the members of an object, which is not empty, up to and
// with its closing brace, and reports whether their keys rise strictly.
func (r *rewriter) objectMembers(i, depth, firstMember, level int) (end int, sorted bool) {
	sorted = true
	for {
		if at(r.src, i) != '"' {
			return r.syntax(i, "a key in quotes"), false
		}
		m := member{start: len(r.out)}
		r.path[level] = step{index: -1}
		if i = r.text(i); i < 0 {
			return -1, false
		}
		m.colon = len(r.out)
		r.path[level] = step{start: m.start, end: m.colon}
		if n := len(r.members); n > firstMember && sorted {
			last := r.members[n-1]
			sorted = compareKeys(r.out[last.start+1:last.colon-1], r.out[m.start+1:m.colon-1]) < 0
		}
		if i = skipSpace(r.src, i); at(r.src, i) != ':' {
			return r.syntax(i, "a colon"), false
		}
		r.out = append(r.out, ':')
		if i = r.value(skipSpace(r.src, i+1), depth+1); i < 0 {
			return -1, false
		}
		m.end = len(r.out)
		r.members = append(r.members, m)
		switch i = skipSpace(r.src, i); at(r.src, i) {
		case ',':
			r.out = append(r.out, ',')
			i = skipSpace(r.src, i+1)
		case '}':
			return i + 1, sorted
		default:
			return r.syntax(i, "a comma or }"), false
		}
	}
}

// sortMembers puts the members of the object that was written last in order and
// reports the keys that appear more than once.
func (r *rewriter) sortMembers(members []member, level int) {
	start := members[0].start
	key := func(m member) []byte { return r.out[m.start+1 : m.colon-1] }
	slices.SortFunc(members, func(a, b member) int { return compareKeys(key(a), key(b)) })
	for n := 1; n < len(members); n++ {
		if bytes.Equal(key(members[n-1]), key(members[n])) && (n == 1 || !bytes.Equal(key(members[n-2]), key(members[n]))) {
			r.path[level] = step{start: members[n].start, end: members[n].colon}
			r.problem("", reasonDuplicate)
		}
	}
	r.tmp = append(r.tmp[:0], r.out[start:]...)
	r.out = r.out[:start]
	for n, m := range members {
		if n > 0 {
			r.out = append(r.out, ',')
		}
		r.out = append(r.out, r.tmp[m.start-start:m.end-start]...)
	}
}

func (r *rewriter) array(i, depth int) int {
	if depth > MaxDepth {
		return r.tooDeep()
	}
	level := len(r.path)
	r.path = append(r.path, step{})
	r.out = append(r.out, '[')
	if i = skipSpace(r.src, i); at(r.src, i) == ']' {
		i++
	} else {
		for more := true; more; {
			if i = r.value(i, depth+1); i < 0 {
				return -1
			}
			switch i = skipSpace(r.src, i); at(r.src, i) {
			case ',':
				r.out = append(r.out, ',')
				i = skipSpace(r.src, i+1)
				r.path[level].index++
			case ']':
				i++
				more = false
			default:
				return r.syntax(i, "a comma or ]")
			}
		}
	}
	r.out = append(r.out, ']')
	r.path = r.path[:level]
	return i
}

// text rewrites the string whose opening quote is src[i].
func (r *rewriter) text(i int) int {
	quote, flags := scanString(r.src, i+1)
	if quote < 0 {
		return r.openString(i)
	}
	if flags == 0 {
		r.out = append(r.out, r.src[i:quote+1]...)
		return quote + 1
	}
	s, _ := r.unescape(i+1, quote, flags)
	if s == nil {
		return -1
	}
	r.out = AppendString(r.out, stringOf(s))
	return quote + 1
}

// unescape returns the text between two quotes of src, which lives until the
// next call, and whether it is sound. It is nil after a syntax error.
func (r *rewriter) unescape(i, quote int, flags stringFlags) (s []byte, ok bool) {
	s, ok = r.src[i:quote], true
	lone := false
	if flags&hasEscape != 0 {
		var bad int
		if s, bad, lone = appendUnescaped(r.tmp[:0], s); bad >= 0 {
			r.syntax(i+bad, `an escape out of \" \\ \/ \b \f \n \r \t \uXXXX`)
			return nil, false
		}
		r.tmp = s
	}
	if flags&hasNonASCII != 0 && !utf8.Valid(s) {
		r.problem(quoteValue(string(s)), "is not valid UTF-8")
		s, ok = bytes.ToValidUTF8(s, []byte("\ufffd")), false
	}
	if flags&hasControl != 0 {
		r.problem(quoteValue(string(s)), `holds a raw control character; write it as an escape such as \n or \u0000`)
		ok = false
	}
	if lone {
		r.problem(quoteValue(string(r.src[i:quote])), "holds half of a surrogate pair, which is no character; write both halves, or the character itself")
		ok = false
	}
	return s, ok
}

const reasonDuplicate = "appears more than once; send it once"

// problem reports what is wrong with the value being parsed.
func (r *rewriter) problem(value, reason string) {
	if !r.full() {
		r.report(r.pathText(), value, reason)
	}
}

// maxErrors bounds the errors that are listed for one event.
const maxErrors = 64

// full reports whether no more errors are listed, so that nothing need be spent
// on finding words for them.
func (r *rewriter) full() bool { return len(r.errs) > maxErrors }

func (r *rewriter) report(field, value, reason string) {
	switch {
	case len(r.errs) < maxErrors:
		r.errs = append(r.errs, FieldError{Field: field, Value: value, Reason: reason})
	case len(r.errs) == maxErrors:
		r.errs = append(r.errs, FieldError{Reason: fmt.Sprintf("has more errors; the first %d are listed", maxErrors)})
	}
}

// tooDeep reports a value that is not read any further, nor is what follows it.
func (r *rewriter) tooDeep() int {
	r.problem("", fmt.Sprintf("is nested too deeply; at most %d levels of objects and arrays are accepted", MaxDepth))
	return -1
}

// openString reports that the string that begins at src[i] does not end.
func (r *rewriter) openString(i int) int {
	return r.syntax(len(r.src), fmt.Sprintf("the closing quote of the string that begins at byte offset %d", i))
}

// syntax reports that src is no JSON at offset i. It takes the place of all other
// errors: they may be consequences of it.
func (r *rewriter) syntax(i int, want string) int {
	found := "the end"
	if i < len(r.src) {
		if c, _ := utf8.DecodeRune(r.src[i:]); c == utf8.RuneError {
			found = fmt.Sprintf("byte 0x%02x", r.src[i])
		} else {
			found = strconv.QuoteRune(c)
		}
	}
	r.errs = Errors{{Reason: fmt.Sprintf("is not valid JSON: at byte offset %d there must be %s, not %s", i, want, found)}}
	return -1
}

// pathText returns the path of the value being parsed: metadata.items[3].name.
func (r *rewriter) pathText() string {
	path := []byte(r.root)
	for _, s := range r.path {
		switch {
		case s.end > 0:
			if len(path) > 0 {
				path = append(path, '.')
			}
			path = append(path, r.out[s.start+1:s.end-1]...)
		case s.index >= 0:
			path = append(path, '[')
			path = strconv.AppendInt(path, int64(s.index), 10)
			path = append(path, ']')
		}
	}
	return shorten(string(path), maxPath)
}
