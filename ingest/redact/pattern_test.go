package redact

import (
	"strings"
	"testing"
)

func TestPatterns(t *testing.T) {
	const (
		jwt    = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
		letter = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJ"
	)
	for _, tt := range []struct{ pattern, text, want string }{
		// A card number: 13 to 19 digits, an issuer's, with a right check digit.
		{"card-number", "paid with 4111111111111111.", "paid with [redacted]."},
		{"card-number", "4111 1111 1111 1111 and 4111-1111-1111-1111", "[redacted] and [redacted]"},
		{"card-number", "5555555555554444,378282246310005,3782 822463 10005", "[redacted],[redacted],[redacted]"},
		{"card-number", "30569309025904 3056 930902 5904 6011111111111117", "[redacted] [redacted] [redacted]"},
		{"card-number", "3530111333300000 2223003122003222 4222222222222", "[redacted] [redacted] [redacted]"},
		{"card-number", "4222 2222 2222 2", "[redacted]"},
		{"card-number", "6304000000000000000x", ""},
		{"card-number", "pan=4111111111111111&x", "pan=[redacted]&x"},
		{"card-number", "card-4111111111111111", "card-[redacted]"},
		{"card-number", "nr 12 4111 1111 1111 1111 7", "nr 12 [redacted] 7"},
		{"card-number", "4111111111111112", ""},                                      // wrong check digit
		{"card-number", "1111111111111117", ""},                                      // nobody's
		{"card-number", "41111111111111111111", ""},                                  // 20 digits
		{"card-number", "411111111111", ""},                                          // 12 digits
		{"card-number", "a4111111111111111 4111111111111111b _4111111111111111", ""}, // part of a word
		{"card-number", "0.4111111111111111", ""},                                    // a decimal
		{"card-number", "41 11 11 11 11 11 11 11, 4111  1111  1111  1111", ""},       // in no card's groups
		{"card-number", "4111-1111 1111-1111", ""},                                   // separators differ
		{"card-number", "0198c0de-7a51-7000-8123-123456789012", ""},                  // a UUID
		// A token of three base64url parts, the first of which is a JSON object.
		{"jwt", "token=" + jwt + ";", "token=[redacted];"},
		{"jwt", jwt + " " + jwt, "[redacted] [redacted]"},
		{"jwt", "eyJhbGciOiJIUzI1NiJ9", ""},
		{"jwt", "x" + jwt, ""},
		{"aws-access-key", "AKIAIOSFODNN7EXAMPLE ASIAIOSFODNN7EXAMPLE", "[redacted] [redacted]"},
		{"aws-access-key", "AKIAIOSFODNN7EXAMPL xAKIAIOSFODNN7EXAMPLE AKIAIOSFODNN7EXAMPLEX", ""},
		{"github-token", "use ghp_" + letter + " or github_pat_" + letter, "use [redacted] or [redacted]"},
		{"github-token", "ghp_short gho-" + letter, ""},
		{"slack-token", "xoxb-123456789012-abc xoxe.xoxp-1-0123456789 https://hooks.slack.com/services/T0/B0/x?", "[redacted] [redacted] https://[redacted]?"},
		{"slack-token", "xoxo-xoxo", ""},
		{"private-key", "a -----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY----- b", "a [redacted] b"},
		{"private-key", "-----BEGIN PRIVATE KEY-----\nMII cut off", "[redacted]"},
		{"private-key", "-----BEGIN PUBLIC KEY-----\nMII\n-----END PUBLIC KEY-----", ""},
		{"bearer", "Authorization: Bearer abc.DEF-12345==, x", "Authorization: Bearer [redacted], x"},
		{"bearer", "bearer authentication failed; Bearer realm=x", ""},
		// An expression is redacted whole, wherever it matches.
		{`/cust-\d{3}/`, "cust-123, cust-45, xcust-6789", "[redacted], cust-45, x[redacted]9"},
		{`/(?i)iban:? ?[A-Z0-9]+/`, "IBAN DE02 is", "[redacted] is"},
		{`/é+/`, "caféé", "caf[redacted]"},
		{`/".*"/`, `say "x"`, "say [redacted]"},
		// A marker is no match and does not shield what is beside it.
		{`/[^-]+/`, "[redacted]", ""},
		{`/[^-]+/`, "[redacted:mfzwizltoq2gk3tu]", ""},
		{`/key=.*/`, "key=a [redacted] b [redacted]", "[redacted][redacted][redacted][redacted]"},
		{`/[a-z]+/`, "[redacted", "[[redacted]"},
		{`/redacted/`, "[redacted] redacted", "[redacted] [redacted]"},
		// A match that a replacement makes is replaced, and where that goes on, the whole.
		{`/\d|[^0-9a-z]b/`, "1b", "[redacted][redacted]"},
		{`/^1|\]1/`, "111", "[redacted][redacted][redacted]"},
		{`/^1|\]1/`, strings.Repeat("1", 20), "[redacted]"},
	} {
		r := newRedactor(t, Options{Patterns: []string{tt.pattern}})
		want, n := tt.want, 4
		if want == "" {
			want, n = tt.text, 0
		}
		e := decode(t, `"metadata":{"a":[""]},"labels":{"l":""},"changes":[{"path":"-","new":""}]`)
		e.Reason = tt.text
		value := string(appendQuoted(tt.text))
		e.Metadata, e.Labels, e.Changes = `{"a":[`+value+`]}`, `{"l":`+value+`}`, `[{"new":`+value+`,"path":"-"}]`
		e, got := redacted(t, r, e)
		value = string(appendQuoted(want))
		if e.Reason != want || e.Metadata != `{"a":[`+value+`]}` || e.Labels != `{"l":`+value+`}` || e.Changes != `[{"new":`+value+`,"path":"-"}]` {
			t.Errorf("%s: %q\nbecame %q, %s, %s, %s\nwant   %q", tt.pattern, tt.text, e.Reason, e.Metadata, e.Labels, e.Changes, want)
		}
		if got != n {
			t.Errorf("%s: %q: %d values replaced, want %d", tt.pattern, tt.text, got, n)
		}
	}
}

// TestCardNumbersThatAreNumbers says that the one pattern of digits looks at
// numbers too.
func TestCardNumbersThatAreNumbers(t *testing.T) {
	r := newRedactor(t, Options{Patterns: []string{"card-number", `/\d{4}/`}})
	e, n := redacted(t, r, decode(t, `"metadata":{"a":4111111111111111,"b":-4111111111111111,"c":41111111111111.11,"d":1763000000000,"e":"1234"}`))
	if want := `{"a":"[redacted]","b":-4111111111111111,"c":41111111111111.11,"d":1763000000000,"e":"[redacted]"}`; e.Metadata != want || n != 2 {
		t.Errorf("%d values replaced: %s\nwant %s", n, e.Metadata, want)
	}
}

// TestSeveralPatterns says that each pattern has what the one before left.
func TestSeveralPatterns(t *testing.T) {
	r := newRedactor(t, Options{Patterns: []string{"bearer", "card-number", `/x+/`}})
	e, _ := redacted(t, r, decode(t, `"reason":"Bearer abcdefg1 4111111111111111 xx"`))
	if want := "Bearer [redacted] [redacted] [redacted]"; e.Reason != want {
		t.Errorf("%q, want %q", e.Reason, want)
	}
	// One that did not match at first may match beside a replacement.
	r = newRedactor(t, Options{Patterns: []string{`/1/`, `/acted\]x/`}})
	if e, _ := redacted(t, r, decode(t, `"reason":"1x"`)); e.Reason != "[redacted][redacted]" {
		t.Errorf("%q", e.Reason)
	}
}
