package redact

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/daybook-log/daybook/event"
)

// Limits of [Options].
const (
	MaxPatterns   = 64
	MaxExpression = 512 // bytes of a regular expression
)

// pattern finds what is to be redacted in a string.
type pattern struct {
	name string
	// mayMatch reports whether a text may match, or a string in a JSON text, which
	// is not parsed for that; nil: it may.
	mayMatch func(text string) bool
	// find returns start and end of each match in order, nil when there is none.
	find func(text string) [][]int
}

// cardNumber is the pattern that finds numbers as well as text.
const cardNumber = "card-number"

// builtin are the patterns that have a name.
var builtin = []pattern{
	{cardNumber, mayHoldCard, findCards},
	{"jwt", contains("eyJ"), matches(`\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}(?:\.[A-Za-z0-9_-]*){1,3}`)},
	{"aws-access-key", contains("AKIA", "ASIA", "ABIA", "ACCA"), matches(`\bA(?:KI|SI|BI|CC)A[A-Z0-9]{16}\b`)},
	{"github-token", contains("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"), matches(`\b(?:gh[pousr]|github_pat)_[A-Za-z0-9_]{36,}`)},
	{"slack-token", contains("xox", "xapp-", "hooks.slack.com/"),
		matches(`\b(?:xox[a-z](?:\.xox[a-z])?|xapp)-[A-Za-z0-9-]{10,}|\bhooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9/_-]+`)},
	{"private-key", contains("PRIVATE KEY"),
		// To the end of the text if the block is cut off.
		matches(`(?s)-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----|\z)`)},
	{"bearer", contains("earer", "EARER"), findBearers},
}

// PatternNames returns the names of the built-in patterns.
func PatternNames() []string {
	names := make([]string, len(builtin))
	for i, p := range builtin {
		names[i] = p.name
	}
	return names
}

// parsePattern returns the pattern that a setting names or holds.
func parsePattern(s string) (pattern, error) {
	for _, p := range builtin {
		if p.name == s {
			return p, nil
		}
	}
	fail := func(format string, args ...any) (pattern, error) {
		return pattern{}, fmt.Errorf("redact.patterns %q: %s", s, fmt.Sprintf(format, args...))
	}
	if len(s) < 3 || s[0] != '/' || s[len(s)-1] != '/' {
		return fail("one of %s is accepted, or a regular expression between slashes, as in /cust-[0-9]{9}/", strings.Join(PatternNames(), ", "))
	}
	expr := s[1 : len(s)-1]
	if len(expr) > MaxExpression {
		return fail("the expression is %d bytes long; at most %d are accepted", len(expr), MaxExpression)
	}
	re, err := regexp.Compile(expr)
	if err != nil {
		return fail("a regular expression of Go (RE2) is accepted: %v", err)
	}
	if re.MatchString("") {
		return fail("the expression matches the empty text, and so everywhere; one that takes at least a character is accepted")
	}
	p := pattern{name: s, find: func(text string) [][]int { return re.FindAllStringIndex(text, -1) }}
	if prefix, _ := re.LiteralPrefix(); prefix != "" && !strings.ContainsFunc(prefix, isEscaped) {
		p.mayMatch = contains(prefix)
	}
	return p, nil
}

// isEscaped reports whether canonical JSON writes r with a backslash.
func isEscaped(r rune) bool { return r < ' ' || r == '"' || r == '\\' }

// contains reports of a text whether it has one of the words.
func contains(words ...string) func(string) bool {
	return func(text string) bool {
		for _, w := range words {
			if strings.Contains(text, w) {
				return true
			}
		}
		return false
	}
}

func matches(expr string) func(string) [][]int {
	re := regexp.MustCompile(expr)
	return func(text string) [][]int { return re.FindAllStringIndex(text, -1) }
}

var bearer = regexp.MustCompile(`\b(?:bearer|Bearer|BEARER)[ :=]+([A-Za-z0-9._~+/-]{8,}=*)`)

// findBearers returns the tokens after the word bearer. A token has a digit or
// more letters than a word: "bearer authentication" has none.
func findBearers(text string) (found [][]int) {
	for _, m := range bearer.FindAllStringSubmatchIndex(text, -1) {
		if token := text[m[2]:m[3]]; len(token) >= 24 || strings.ContainsAny(token, "0123456789") {
			found = append(found, m[2:4])
		}
	}
	return found
}

// maxRounds is how often the patterns are tried on one string, each time on what
// the time before has left.
const maxRounds = 8

// mayMatch appends the patterns that may match a text, or a string in a JSON text.
func (r *Redactor) mayMatch(dst []*pattern, text string) []*pattern {
	for i := range r.patterns {
		if p := &r.patterns[i]; p.mayMatch == nil || p.mayMatch(text) {
			dst = append(dst, p)
		}
	}
	return dst
}

// replace returns text with what matches a pattern replaced, and whether anything
// was; may are the patterns that may match. No pattern matches the result but on a
// marker: if a replacement makes a new match beside it, and that another, one marker
// stands for the whole text at last. So it does when the result would be longer than
// limit bytes.
func (r *Redactor) replace(tenant, text string, may []*pattern, limit int) (out string, changed bool) {
	out = text
	for range maxRounds {
		again := false
		for _, p := range may {
			var did bool
			if out, did = r.replaceMatches(tenant, out, p.find(out)); did {
				again = true
			}
			if len(out) > limit {
				return string(r.marker.append(nil, tenant, text)), true
			}
		}
		if !again {
			return out, changed
		}
		changed = true
		may = r.mayMatch(nil, out)
	}
	return string(r.marker.append(nil, tenant, text)), true
}

// replaceMatches replaces the matches in text, which are in order, but for what of
// them is a marker.
func (r *Redactor) replaceMatches(tenant, text string, found [][]int) (string, bool) {
	if found == nil {
		return text, false
	}
	var out []byte
	done := 0 // of text is in out
	from, to := nextMarker(text, 0)
	for _, m := range found {
		for start := m[0]; start < m[1]; start = to {
			for to <= start && from < len(text) {
				from, to = nextMarker(text, to)
			}
			end := min(from, m[1])
			if start < end {
				out = append(out, text[done:start]...)
				out = r.marker.append(out, tenant, text[start:end])
				done = end
			}
			if end == m[1] {
				break
			}
		}
	}
	if done == 0 {
		return text, false
	}
	return string(append(out, text[done:]...)), true
}

// nextMarker returns where the first marker from text[i] on begins and ends; the
// end of text when there is none.
func nextMarker(text string, i int) (start, end int) {
	for {
		n := strings.Index(text[i:], markerOpen)
		if n < 0 {
			return len(text), len(text)
		}
		i += n
		if size := markerLen(text[i:]); size > 0 {
			return i, i + size
		}
		i += len(markerOpen)
	}
}

// textLimit returns how many bytes a value of f may have.
func textLimit(f event.Field) int {
	if n := f.Info().MaxBytes; n > 0 {
		return n
	}
	return event.MaxSize
}
