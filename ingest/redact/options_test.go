package redact

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestNewRefuses(t *testing.T) {
	many := func(n int, s string) []string { return slices.Repeat([]string{s}, n) }
	for _, tt := range []struct {
		o    Options
		want string // of the error, a regular expression
	}{
		{Options{Keys: []string{""}}, `^redact.keys "": a key is accepted`},
		{Options{Keys: []string{"-_."}}, `^redact.keys "-_.": a key is accepted`},
		{Options{Keys: []string{`a"b`}}, `without quotes, backslashes and control characters`},
		{Options{Keys: []string{"a\xff"}}, `without quotes, backslashes and control characters`},
		{Options{Keys: []string{strings.Repeat("a", 129)}}, `is 129 bytes long; at most 128 are accepted`},
		{Options{Keys: many(1025, "a")}, `^redact.keys: there are 1025; at most 1024 are accepted`},
		{Options{Fields: []string{"reasn"}}, `^redact.fields "reasn": .*did you mean reason`},
		{Options{Fields: []string{"metadata"}}, `a path into it is accepted, as in metadata.card.number`},
		{Options{Fields: []string{"labels"}}, `a path into it is accepted, as in labels.token`},
		{Options{Fields: []string{"changes"}}, `a path into it is accepted, as in changes.new.iban`},
		{Options{Fields: []string{"changes.path"}}, `what was changed and not to what`},
		{Options{Fields: []string{"changes.iban"}}, `changes.old`},
		{Options{Fields: []string{"metadata.*"}}, `no wildcards`},
		{Options{Fields: []string{"event_id"}}, `is a UUID`},
		{Options{Fields: []string{"timestamp"}}, `is a time`},
		{Options{Fields: []string{"received_at"}}, `Daybook sets it`},
		{Options{Fields: []string{"outcome"}}, `one of success, failure, denied, unknown, and a marker is none`},
		{Options{Fields: []string{"source_ip"}}, `is an IP address`},
		{Options{Fields: []string{"tenant_id"}, Method: HMAC, Secret: secret}, `keeps tenants apart`},
		{Options{Fields: []string{"action"}, Method: HMAC, Secret: secret}, `tells what happened`},
		{Options{Fields: []string{"resource_type"}, Method: HMAC, Secret: secret}, `is a part of resource`},
		{Options{Fields: []string{"user_id"}}, `accepted with redact.method hmac`},
		{Options{Fields: []string{"resource"}}, `accepted with redact.method hmac`},
		{Options{Fields: many(257, "reason")}, `^redact.fields: there are 257; at most 256`},
		{Options{Patterns: []string{"visa"}}, `^redact.patterns "visa": one of card-number, jwt, .* is accepted, or a regular expression between slashes`},
		{Options{Patterns: []string{"/"}}, `between slashes`},
		{Options{Patterns: []string{"//"}}, `between slashes`},
		{Options{Patterns: []string{"/a(/"}}, `^redact.patterns "/a\(/": a regular expression of Go \(RE2\) is accepted: .*missing closing`},
		{Options{Patterns: []string{`/(?=a)/`}}, `RE2`},
		{Options{Patterns: []string{"/a*/"}}, `matches the empty text`},
		{Options{Patterns: []string{"/" + strings.Repeat("a", 513) + "/"}}, `513 bytes long; at most 512`},
		{Options{Patterns: many(65, "jwt")}, `^redact.patterns: there are 65; at most 64`},
		{Options{Method: HMAC}, `^redact.method hmac: the secret is 0 bytes long; at least 32`},
		{Options{Method: HMAC, Secret: []byte("hunter2")}, `the secret is 7 bytes long`},
		{Options{Method: 7}, `mask or hmac`},
	} {
		_, err := New(tt.o)
		if err == nil || !regexp.MustCompile(tt.want).MatchString(err.Error()) {
			t.Errorf("%+v: %v, want %s", tt.o, err, tt.want)
		} else if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("the error holds the secret: %v", err)
		}
	}
}

func TestParseMethod(t *testing.T) {
	for _, m := range []Method{Mask, HMAC} {
		if got, err := ParseMethod(m.String()); err != nil || got != m {
			t.Errorf("%s: %v, %v", m, got, err)
		}
	}
	if _, err := ParseMethod("hash"); err == nil || err.Error() != `redact.method "hash": mask or hmac is accepted` {
		t.Error(err)
	}
}

// TestDefaultKeys holds the list to what it says it is.
func TestDefaultKeys(t *testing.T) {
	everything, scalarsOnly := DefaultKeys()
	seen := map[string]string{}
	for _, key := range slices.Concat(everything, scalarsOnly) {
		folded := string(appendFolded(nil, key))
		if other, ok := seen[folded]; ok {
			t.Errorf("%s is %s", key, other)
		}
		seen[folded] = key
		if key != strings.ToLower(key) {
			t.Errorf("%s is not in lower case", key)
		}
	}
}
