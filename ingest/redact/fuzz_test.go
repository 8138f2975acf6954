package redact

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/daybook-log/daybook/event"
)

func appendQuoted(s string) []byte { return event.AppendString(nil, s) }

// FuzzRedact checks of any canonical JSON that no secret is left in it, that
// keys, shape and everything else are as they were, that the result is canonical,
// and that a second time changes nothing.
func FuzzRedact(f *testing.F) {
	for _, s := range []string{
		`{"password":"x","a":{"X-Api-Key":[1,{"b":"c"},true,null,""]}}`,
		`{"authorization":{"scope":"s","token":"t"},"credentials":["a",{"pin":1}]}`,
		`{"a\"":"\\\"password\":","password":"\n[redacted]\\","card":{"number":"4111 1111 1111 1111"}}`,
		`{"p-w-d.":"[redacted:mfzwizltoq2gk3tu]","note":"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.x cust-1"}`,
		`[{"secret":[[["x"]]],"card.number":4111111111111111}]`, `{"é":"password","Пароль":"п"}`,
	} {
		f.Add([]byte(s), "tenant", "user.password")
	}
	none := newRedactor(f, Options{})
	keys := newRedactor(f, Options{Defaults: true})
	everything := newRedactor(f, Options{Defaults: true, Keys: []string{"пароль", "é"}, Fields: []string{"metadata.card.number", `metadata."a\""`, "changes.new.card", "reason"},
		Patterns: append(PatternNames(), `/cust-\d/`, `/\n/`), Method: HMAC, Secret: secret})
	f.Fuzz(func(t *testing.T, document []byte, tenant, path string) {
		canonical, err := event.AppendCanonicalJSON(nil, document)
		if err != nil || len(canonical) > 8<<10 {
			return
		}
		quoted := string(appendQuoted(strings.ToValidUTF8(path, "")))
		in := event.Event{TenantID: tenant, Reason: path, Metadata: string(canonical),
			Changes: `[{"new":` + string(canonical) + `,"old":"o","path":` + quoted + `}]`}
		out := in
		if n := none.Redact(&out); n != 0 || out != in {
			t.Fatalf("nothing is to be redacted, but %d values were: %s", n, out.Metadata)
		}
		for _, r := range []*Redactor{keys, everything} {
			out := in
			n := r.Redact(&out)
			for _, text := range []string{out.Metadata, out.Changes} {
				if again, err := event.AppendCanonicalJSON(nil, []byte(text)); err != nil || string(again) != text {
					t.Fatalf("not canonical: %v\n%s\n%s", err, text, again)
				}
			}
			if (n > 0) != (out != in) {
				t.Fatalf("%d values replaced:\n%s\n%s", n, in.Metadata, out.Metadata)
			}
			again := out
			if n := r.Redact(&again); n != 0 || again != out {
				t.Fatalf("the second time replaced %d values:\n%s\n%s", n, out.Metadata, again.Metadata)
			}
			compare(t, unmarshal(t, in.Metadata), unmarshal(t, out.Metadata), plain, r == keys)
		}
	})
}

func unmarshal(t *testing.T, text string) (v any) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// compare checks a value before and after, of which k is secret by the default
// keys. It is written as one would without haste, beside what it tests. exact: what
// is not secret by these keys is unchanged.
func compare(t *testing.T, before, after any, k kind, exact bool) {
	switch before := before.(type) {
	case map[string]any:
		now, ok := after.(map[string]any)
		if !ok || len(now) != len(before) {
			t.Fatalf("%v became %v", before, after)
		}
		if k == scalars {
			k = plain
		}
		for key, value := range before {
			is, there := now[key]
			if !there {
				t.Fatalf("key %q is gone", key)
			}
			compare(t, value, is, max(k, slowKind(key)), exact)
		}
	case []any:
		now, ok := after.([]any)
		if !ok || len(now) != len(before) {
			t.Fatalf("%v became %v", before, after)
		}
		for i := range before {
			compare(t, before[i], now[i], k, exact)
		}
	case string, json.Number:
		s, isString := after.(string)
		switch {
		case before == "":
			if after != "" {
				t.Fatalf("the empty string became %v", after)
			}
		case k != plain:
			if !isString || !isMarker(s) {
				t.Fatalf("%v is secret and became %v", before, after)
			}
		case exact && before != after:
			t.Fatalf("%v is no secret and became %v", before, after)
		case before != after && !strings.Contains(s, markerOpen):
			t.Fatalf("%v became %v, which holds no marker", before, after)
		}
	default:
		if !reflect.DeepEqual(before, after) {
			t.Fatalf("%v became %v", before, after)
		}
	}
}

func slowKind(key string) kind {
	fold := func(s string) string {
		return strings.Map(func(r rune) rune {
			if strings.ContainsRune("-_.", r) {
				return -1
			}
			if r >= 'A' && r <= 'Z' {
				r += 'a' - 'A'
			}
			return r
		}, s)
	}
	everything, scalarsOnly := DefaultKeys()
	for _, s := range everything {
		if fold(s) == fold(key) {
			return all
		}
	}
	for _, s := range scalarsOnly {
		if fold(s) == fold(key) {
			return scalars
		}
	}
	return plain
}
