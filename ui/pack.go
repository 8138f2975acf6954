package ui

import (
	"bytes"
	"strings"
)

// The files are written for people. What is sent leaves out comments and the white
// space and semicolons that the grammar does not need. Nothing is renamed or moved,
// and a line end stays wherever it could end a statement, so a browser's debugger
// shows the code as it is, once it is asked to indent it.

// pack returns a file as it is sent.
func pack(ext string, text []byte) []byte {
	switch ext {
	case ".js":
		return packScript(text)
	case ".css":
		return packStyle(text)
	}
	return text
}

// packScript packs a module. Strings, templates and regular expressions are kept
// byte for byte.
func packScript(text []byte) []byte {
	out := make([]byte, 0, len(text))
	gap, line := false, true // white space since the last token; it had a line end
	var open []bool          // of each parenthesis that is open, whether it is a head: of if, for, while
	head := -1               // where in out the last head ends
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case c == '\n':
			gap, line = true, true
			i++
			continue
		case c == ' ' || c == '\t' || c == '\r':
			gap = true
			i++
			continue
		case bytes.HasPrefix(text[i:], []byte("//")):
			i += lineLen(text[i:])
			continue
		case bytes.HasPrefix(text[i:], []byte("/*")):
			i += 2 + bytes.Index(text[i+2:], []byte("*/")) + 2
			gap = true
			continue
		}
		ends := false
		switch n := len(out); {
		case c == '(':
			open = append(open, endsInHead(out))
		case c == ')' && len(open) > 0:
			ends, open = open[len(open)-1], open[:len(open)-1]
		case c == '}' && n > 1 && out[n-1] == ';' && n-2 != head:
			out = out[:n-1] // the brace ends the statement; after a head it is an empty one
		}
		n := 1
		switch {
		case c == '"' || c == '\'':
			n = stringLen(text[i:])
		case c == '`':
			n = templateLen(text[i:])
		case c == '/' && beginsRegexp(out):
			n = regexpLen(text[i:])
		}
		switch {
		case len(out) == 0:
		case line && c != '}' && strings.IndexByte("{([,;", out[len(out)-1]) < 0:
			out = append(out, '\n')
		case line: // no statement ends after these, but where it says so itself; a brace ends one
		case gap && needsSpace(out[len(out)-1], c):
			out = append(out, ' ')
		}
		out = append(out, text[i:i+n]...)
		if ends {
			head = len(out) - 1
		}
		gap, line = false, false
		i += n
	}
	return append(out, '\n')
}

// needsSpace reports whether two tokens would become others without a space.
func needsSpace(a, b byte) bool {
	return isWord(a) && (isWord(b) || b == '\\') || a == b && (a == '+' || a == '-') || a == '/' && isWord(b)
}

func isWord(c byte) bool {
	return c == '_' || c == '$' || c == '#' || c >= 0x80 || '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

// endsInHead reports whether a parenthesis after out begins the head of a statement.
func endsInHead(out []byte) bool {
	s := string(out[max(0, len(out)-8):])
	for _, word := range []string{"if", "for", "while", "with", "await"} {
		if rest, ok := strings.CutSuffix(s, word); ok && (rest == "" || !isWord(rest[len(rest)-1])) {
			return true
		}
	}
	return false
}

// beginsRegexp reports whether a slash after out begins a regular expression and
// is no division: it does where an operand is expected.
func beginsRegexp(out []byte) bool {
	s := strings.TrimRight(string(out[max(0, len(out)-16):]), " \n")
	if s == "" || strings.HasSuffix(s, "return") {
		return true
	}
	return strings.IndexByte("(,=:[!&|?{};+-*%<>~^", s[len(s)-1]) >= 0
}

func lineLen(text []byte) int {
	if n := bytes.IndexByte(text, '\n'); n >= 0 {
		return n
	}
	return len(text)
}

// stringLen is the length of the quoted string that text begins with.
func stringLen(text []byte) int {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case text[0]:
			return i + 1
		}
	}
	return len(text)
}

// templateLen is that of a template, with what is in its braces.
func templateLen(text []byte) int {
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] == '\\':
			i++
		case text[i] == '`':
			return i + 1
		case bytes.HasPrefix(text[i:], []byte("${")):
			i += 1 + bracedLen(text[i+1:]) - 1
		}
	}
	return len(text)
}

// bracedLen is that of the code in braces that text begins with.
func bracedLen(text []byte) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"', '\'':
			i += stringLen(text[i:]) - 1
		case '`':
			i += templateLen(text[i:]) - 1
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return len(text)
}

// regexpLen is that of a regular expression without its flags.
func regexpLen(text []byte) int {
	class := false
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '[':
			class = true
		case ']':
			class = false
		case '/':
			if !class {
				return i + 1
			}
		}
	}
	return len(text)
}

// packStyle packs a style sheet.
func packStyle(text []byte) []byte {
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		c := text[i]
		switch {
		case bytes.HasPrefix(text[i:], []byte("/*")):
			i += 2 + bytes.Index(text[i+2:], []byte("*/")) + 2
			continue
		case c == '"':
			n := stringLen(text[i:])
			out = append(out, text[i:i+n]...)
			i += n
			continue
		case bytes.HasPrefix(text[i:], []byte("0.")) && len(out) > 0 && strings.IndexByte(" :,(", out[len(out)-1]) >= 0:
			i++ // .5 is 0.5
			continue
		case c == ' ' || c == '\n' || c == '\t':
			if len(out) > 0 && strings.IndexByte("{};:,> ", out[len(out)-1]) < 0 {
				out = append(out, ' ')
			}
			i++
			continue
		case c == '{' || c == '}' || c == ';' || c == '>' || c == '!':
			if out[len(out)-1] == ' ' {
				out = out[:len(out)-1]
			}
			if c == '}' && out[len(out)-1] == ';' {
				out = out[:len(out)-1]
			}
		}
		out = append(out, c)
		i++
	}
	return out
}
