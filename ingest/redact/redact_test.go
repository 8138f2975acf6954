package redact

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
)

var secret = []byte("0123456789abcdef0123456789abcdef")

func newRedactor(t testing.TB, o Options) *Redactor {
	t.Helper()
	r, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// decode returns the event with the three required fields and these members.
func decode(t testing.TB, members string) event.Event {
	t.Helper()
	var d event.Decoder
	var e event.Event
	if err := d.Decode([]byte(`{"user_id":"alice","action":"a","resource":"r",`+members+`}`), &e); err != nil {
		t.Fatal(err)
	}
	return e
}

// redacted returns the event after it went through r, and checks what holds of
// every event: bytes that are shared stay, the result is a valid event in
// canonical form, and a second time changes nothing.
func redacted(t testing.TB, r *Redactor, e event.Event) (event.Event, int) {
	t.Helper()
	before := e.Clone()
	shared := e
	n := r.Redact(&e)
	if shared != before {
		t.Fatalf("bytes that the event shares were changed:\n%+v\n%+v", before, shared)
	}
	if changed := e != before; changed != (n > 0) {
		t.Fatalf("%d values replaced, but\n%+v\nbecame\n%+v", n, before, e)
	}
	var d event.Decoder
	var again event.Event
	canonical := event.AppendCanonical(nil, &e)
	if len(canonical) <= event.MaxSize {
		if err := d.Decode(canonical, &again); err != nil || again != e {
			t.Fatalf("the result is no valid event in canonical form: %v\n%s", err, canonical)
		}
		if !bytes.Equal(event.AppendCanonical(nil, &again), canonical) {
			t.Fatalf("not canonical: %s", canonical)
		}
	}
	again = e
	if m := r.Redact(&again); m != 0 || again != e {
		t.Fatalf("the second time replaced %d values:\n%+v\n%+v", m, e, again)
	}
	return e, n
}

func TestKeys(t *testing.T) {
	r := newRedactor(t, Options{Defaults: true, Keys: []string{"Iban", "kundennummer", "Пароль", "x"}})
	for _, tt := range []struct{ metadata, want string }{
		// A key is compared without case, '-', '_' and '.'.
		{`{"password":"hunter2"}`, `{"password":"[redacted]"}`},
		{`{"PassWord":"hunter2"}`, `{"PassWord":"[redacted]"}`},
		{`{"X-Api-Key":"k","apiKey":"k","x_api_key":"k"}`, `{"X-Api-Key":"[redacted]","apiKey":"[redacted]","x_api_key":"[redacted]"}`},
		{`{"_api.key-":"k","api-k.ey":"k","-p-i-n-":1}`, `{"-p-i-n-":"[redacted]","_api.key-":"[redacted]","api-k.ey":"[redacted]"}`},
		// At any depth, in objects and in arrays.
		{`{"a":[{"b":{"pwd":"x","c":1}},2]}`, `{"a":[{"b":{"c":1,"pwd":"[redacted]"}},2]}`},
		// A key is a secret one or it is not.
		{`{"client_token_accessor":"a","next_token":"n","page_token":"p","secret_name":"s","token_count":7,"token_type":"bearer"}`, ""},
		{`{"access_key_id":"AKIA","key_id":"k","password_changed_at":"2026","passwords_reset":3,"secret_id":"arn:aws:secretsmanager:x"}`, ""},
		{`{"keypassword":"x","passwor":"x","xpassword":"x"}`, ""},
		{`{"code":1,"key":"name","nonce":"n","secrets":"read","session_id":"s","signature":"sig"}`, ""},
		// Below most keys all strings and numbers are secret, and the shape stays.
		{`{"password":{"a":["x",1,{"b":-2.5e-7}],"n":null,"ok":true}}`, `{"password":{"a":["[redacted]","[redacted]",{"b":"[redacted]"}],"n":null,"ok":true}}`},
		{`{"password":1234}`, `{"password":"[redacted]"}`},
		{`{"password":1e400}`, `{"password":"[redacted]"}`},
		{`{"recovery_codes":["a","b"]}`, `{"recovery_codes":["[redacted]","[redacted]"]}`},
		// What tells no secret stays.
		{`{"password":""}`, ""},
		{`{"cookie":[],"password":null,"pin":true,"token":false,"x_api_key":{}}`, ""},
		{`{"password":"[redacted]"}`, ""},
		{`{"password":"[redacted:mfzwizltoq2gk3tu]"}`, ""},
		{`{"password":"hmac-sha256:` + strings.Repeat("0a", 32) + `"}`, ""},
		// What only looks like a marker does not.
		{`{"password":"[redacted] x"}`, `{"password":"[redacted]"}`},
		{`{"password":"[redacted:mfzwizltoq2gk3t1]"}`, `{"password":"[redacted]"}`},
		{`{"password":"hmac-sha256:` + strings.Repeat("0A", 32) + `"}`, `{"password":"[redacted]"}`},
		{`{"password":"hmac-sha256:0a"}`, `{"password":"[redacted]"}`},
		// Beside a few keys an object describes the secret and is looked into.
		{`{"authorization":"Basic YTpi"}`, `{"authorization":"[redacted]"}`},
		{`{"headers":{"Authorization":["Basic YTpi","x"]}}`, `{"headers":{"Authorization":["[redacted]","[redacted]"]}}`},
		{`{"authorization":{"action":"Microsoft.Compute/disks/delete","scope":"/s"}}`, ""},
		{`{"credentials":{"accessKeyId":"ASIA","expiration":"e","sessionToken":"t"}}`, `{"credentials":{"accessKeyId":"ASIA","expiration":"e","sessionToken":"[redacted]"}}`},
		{`{"volumes":[{"name":"v","secret":{"defaultMode":420,"secretName":"tls"}}]}`, ""},
		{`{"token":[["t",{"id":1,"password":"p"}]]}`, `{"token":[["[redacted]",{"id":1,"password":"[redacted]"}]]}`},
		{`{"password":{"token":{"id":1}}}`, `{"password":{"token":{"id":"[redacted]"}}}`},
		// The user's own keys, of one letter and of any script.
		{`{"IBAN":"DE02","X":"y","kunden-nummer":5,"пароль":"п"}`, `{"IBAN":"[redacted]","X":"[redacted]","kunden-nummer":"[redacted]","пароль":"[redacted]"}`},
		{`{"ärger":"x","пар":"п"}`, ""},
		// Quotes and colons that are none of the JSON's.
		{`{"a":"\"password\":\"x\""}`, ""},
		{`{"a":"password","b":"\\\\","c\"password":"x","password":"a\"b\\"}`, `{"a":"password","b":"\\\\","c\"password":"x","password":"[redacted]"}`},
		{`{"password\"":"x","password\\":"y"}`, ""},
	} {
		want := tt.want
		if want == "" {
			want = tt.metadata
		}
		if e, _ := redacted(t, r, decode(t, `"metadata":`+tt.metadata)); e.Metadata != want {
			t.Errorf("%s\nbecame %s\nwant   %s", tt.metadata, e.Metadata, want)
		}
	}
}

// TestEveryDefaultKey looks for each key as programs of every kind spell it.
func TestEveryDefaultKey(t *testing.T) {
	r := newRedactor(t, Options{Defaults: true})
	everything, scalarsOnly := DefaultKeys()
	for _, key := range slices.Concat(everything, scalarsOnly) {
		camel := regexp.MustCompile(`_.`).ReplaceAllStringFunc(key, func(s string) string { return strings.ToUpper(s[1:]) })
		for _, spelled := range []string{key, strings.ToUpper(key), camel, strings.ReplaceAll(key, "_", "-"), strings.ReplaceAll(key, "_", "")} {
			if e, _ := redacted(t, r, decode(t, `"metadata":{"`+spelled+`":"x"}`)); e.Metadata != `{"`+spelled+`":"[redacted]"}` {
				t.Errorf("%s: %s", spelled, e.Metadata)
			}
			for _, other := range []string{"q" + spelled, spelled + "q", spelled[1:] + "_" + spelled} {
				if e, n := redacted(t, r, decode(t, `"metadata":{"`+other+`":"x"}`)); n > 0 {
					t.Errorf("%s is no secret key: %s", other, e.Metadata)
				}
			}
		}
	}
}

// TestKeysOfChanges says that path, old and new of a change are none of the keys
// that a setting names.
func TestKeysOfChanges(t *testing.T) {
	r := newRedactor(t, Options{Keys: []string{"path", "old", "new"}})
	e := decode(t, `"changes":[{"path":"p","old":"o","new":"n"},{"path":"p","new":{"old":"o"}},{"path":"a.new","new":"n"}]`)
	want := `[{"new":"n","old":"o","path":"p"},{"new":{"old":"[redacted]"},"path":"p"},{"new":"[redacted]","path":"a.new"}]`
	if e, _ := redacted(t, r, e); e.Changes != want {
		t.Errorf("%s\nwant %s", e.Changes, want)
	}
}

func TestLabelsAndChanges(t *testing.T) {
	r := newRedactor(t, Options{Defaults: true})
	for _, tt := range []struct{ members, want string }{
		{`"labels":{"env":"prod","token":"t"}`, `"labels":{"env":"prod","token":"[redacted]"}`},
		{`"changes":[{"path":"password","old":"a","new":"b"}]`, `"changes":[{"new":"[redacted]","old":"[redacted]","path":"password"}]`},
		{`"changes":[{"path":"user.Pass-Word","new":5},{"path":"user.name","new":"n"}]`, `"changes":[{"new":"[redacted]","path":"user.Pass-Word"},{"new":"n","path":"user.name"}]`},
		{`"changes":[{"path":"/user/password","new":"b"}]`, `"changes":[{"new":"[redacted]","path":"/user/password"}]`},
		{`"changes":[{"path":"users[3].passwd[0]","new":"b"},{"path":"passwd.12","new":"b"}]`, `"changes":[{"new":"[redacted]","path":"users[3].passwd[0]"},{"new":"[redacted]","path":"passwd.12"}]`},
		{`"changes":[{"path":"a\"b.password","new":"b"}]`, `"changes":[{"new":"[redacted]","path":"a\"b.password"}]`},
		{`"changes":[{"path":"account","old":null,"new":{"password":"b","user":"u"}}]`, `"changes":[{"new":{"password":"[redacted]","user":"u"},"old":null,"path":"account"}]`},
		{`"changes":[{"path":"password","new":{"a":[1]}},{"path":"secret","new":{"name":"n"}}]`, `"changes":[{"new":{"a":["[redacted]"]},"path":"password"},{"new":{"name":"n"},"path":"secret"}]`},
		{`"changes":[{"path":"password.min_length","old":8,"new":12}]`, `"changes":[{"new":12,"old":8,"path":"password.min_length"}]`},
		{`"changes":[{"path":"p","old":"o","new":"n"}]`, `"changes":[{"new":"n","old":"o","path":"p"}]`},
		{`"changes":[{"path":"7","new":{"password":[]}}]`, `"changes":[{"new":{"password":[]},"path":"7"}]`},
		{`"reason":"password: hunter2"`, `"reason":"password: hunter2"`},
	} {
		e, _ := redacted(t, r, decode(t, tt.members))
		if want := decode(t, tt.want); e != want {
			t.Errorf("%s\nbecame %s%s\nwant   %s", tt.members, e.Labels, e.Changes, tt.want)
		}
	}
}

func TestFields(t *testing.T) {
	for _, tt := range []struct{ fields, members, want string }{
		{"reason", `"reason":"because","user_agent":"curl"`, `"reason":"[redacted]","user_agent":"curl"`},
		{"session_id,user_agent", `"session_id":"s","user_agent":"curl"`, `"session_id":"[redacted]","user_agent":"[redacted]"`},
		{"reason", `"reason":"[redacted]"`, `"reason":"[redacted]"`},
		{"labels.token_name", `"labels":{"a.b":"1","token_name":"x"}`, `"labels":{"a.b":"1","token_name":"[redacted]"}`},
		{"labels.a.b", `"labels":{"A.b":"2","a.b":"1","ab":"3"}`, `"labels":{"A.b":"2","a.b":"[redacted]","ab":"3"}`},
		// A path is exact, where keys are not; it passes through arrays, and a key may hold the dots.
		{"metadata.card.number", `"metadata":{"card":{"Number":"2","number":"1"},"number":3}`, `"metadata":{"card":{"Number":"2","number":"[redacted]"},"number":3}`},
		{"metadata.card.number", `"metadata":{"card":[{"number":1},[{"number":2}]]}`, `"metadata":{"card":[{"number":"[redacted]"},[{"number":"[redacted]"}]]}`},
		{"metadata.card.number", `"metadata":{"card.number":1,"cards":{"number":2}}`, `"metadata":{"card.number":"[redacted]","cards":{"number":2}}`},
		{"metadata.a.b.c", `"metadata":{"a":{"b.c":1},"a.b":{"c":2},"b.c":3}`, `"metadata":{"a":{"b.c":"[redacted]"},"a.b":{"c":"[redacted]"},"b.c":3}`},
		{`metadata."a.b".c`, `"metadata":{"a":{"b":{"c":1}},"a.b":{"c":2}}`, `"metadata":{"a":{"b":{"c":1}},"a.b":{"c":"[redacted]"}}`},
		{`metadata.a."x y"`, `"metadata":{"a":{"x y":1}}`, `"metadata":{"a":{"x y":"[redacted]"}}`},
		{`metadata."a\"b\\"`, `"metadata":{"a\"b\\":1}`, `"metadata":{"a\"b\\":"[redacted]"}`},
		{`metadata."--"`, `"metadata":{"--":1,"-":2}`, `"metadata":{"--":"[redacted]","-":2}`},
		{"metadata.card", `"metadata":{"card":{"holder":{"name":"A","ok":true},"n":1}}`, `"metadata":{"card":{"holder":{"name":"[redacted]","ok":true},"n":"[redacted]"}}`},
		{"metadata.a.b,metadata.a.c.d", `"metadata":{"a":{"b":1,"c":{"b":2,"d":3}}}`, `"metadata":{"a":{"b":"[redacted]","c":{"b":2,"d":"[redacted]"}}}`},
		// old and new alike, and as a key below them or as the path of the change.
		{"changes.new.iban", `"changes":[{"path":"account","old":{"iban":"o"},"new":{"iban":"n","x":1}}]`, `"changes":[{"path":"account","old":{"iban":"[redacted]"},"new":{"iban":"[redacted]","x":1}}]`},
		{"changes.old.iban", `"changes":[{"path":"account.iban","old":"o","new":"n"},{"path":"xiban","new":"n"}]`, `"changes":[{"path":"account.iban","old":"[redacted]","new":"[redacted]"},{"path":"xiban","new":"n"}]`},
		{"changes.new.account.iban", `"changes":[{"path":"/account/iban","new":"n"},{"path":"iban","new":"m"}]`, `"changes":[{"path":"/account/iban","new":"[redacted]"},{"path":"iban","new":"m"}]`},
		{"changes.new", `"changes":[{"path":"a","old":"o","new":{"b":1}}]`, `"changes":[{"path":"a","old":"[redacted]","new":{"b":"[redacted]"}}]`},
	} {
		r := newRedactor(t, Options{Fields: strings.Split(tt.fields, ",")})
		e, _ := redacted(t, r, decode(t, tt.members))
		if want := decode(t, tt.want); e != want {
			t.Errorf("%s: %s\nbecame %s\nwant   %s", tt.fields, tt.members, event.AppendCanonical(nil, &e), event.AppendCanonical(nil, &want))
		}
	}
}

// TestFieldsMeanWhatFiltersMean holds paths to the filter language: what a
// selector finds is what is redacted.
func TestFieldsMeanWhatFiltersMean(t *testing.T) {
	documents := []string{
		`{"a":{"b":"v"}}`, `{"a.b":"v"}`, `{"a":[{"b":["v"]}]}`, `{"a":{"b":{"c":"v"}}}`, `{"a.b":{"c":"v"}}`, `{"a":{"b.c":"v"}}`,
		`{"a.b.c":"v"}`, `{"b":"v"}`, `{"a":"v"}`, `{"x y":{"b":"v"}}`, `{"a\"":{"b":"v"}}`, `{"A":{"B":"v"}}`,
	}
	selectors := []string{`metadata.a`, `metadata.a.b`, `metadata."a.b"`, `metadata."a".b`, `metadata.a."b"`, `metadata.a.b.c`, `metadata.a."b.c"`,
		`metadata."a.b".c`, `metadata."a.b.c"`, `metadata."x y".b`, `metadata."a\"".b`, `metadata.b`}
	for _, selector := range selectors {
		sel, err := filter.ParseSelector(selector)
		if err != nil {
			t.Fatal(err)
		}
		r := newRedactor(t, Options{Fields: []string{selector}})
		for _, doc := range documents {
			e, n := redacted(t, r, decode(t, `"metadata":`+doc))
			if found := sel.Value(doc) != ""; found != (n == 1) {
				t.Errorf("%s in %s: the filter language finds %q, %d values replaced: %s", selector, doc, sel.Value(doc), n, e.Metadata)
			}
		}
	}
}

// TestPatternsLookInto says which fields patterns look into.
func TestPatternsLookInto(t *testing.T) {
	r := newRedactor(t, Options{Patterns: []string{`/cust-\d{9}/`}})
	e := decode(t, `"labels":{"c":"cust-123456789"},"metadata":{"a":[1,"cust-123456789"],"cust-123456789":2},"changes":[{"path":"cust-123456789","new":["cust-123456789"]}]`)
	for f := range event.NumFields {
		if f.Info().Kind == event.KindText {
			e.SetText(f, "x cust-123456789 y")
		}
	}
	out, n := redacted(t, r, e)
	var changed []string
	for f := range event.NumFields {
		if f.IsText() && out.Text(f) != e.Text(f) {
			changed = append(changed, f.String())
			if f.Info().Kind == event.KindText && out.Text(f) != "x [redacted] y" {
				t.Errorf("%s became %q", f, out.Text(f))
			}
		}
	}
	if got, want := strings.Join(changed, " "), "user_name resource_name user_agent reason changes labels metadata"; got != want {
		t.Errorf("patterns change %s, want %s", got, want)
	}
	if n != 8 {
		t.Errorf("%d values replaced, want 8", n)
	}
	if want := `{"a":[1,"[redacted]"],"cust-123456789":2}`; out.Metadata != want {
		t.Errorf("metadata became %s, want %s: a key is no value", out.Metadata, want)
	}
}

func TestHMAC(t *testing.T) {
	r := newRedactor(t, Options{Defaults: true, Fields: []string{"user_id", "resource"}, Patterns: []string{"jwt"}, Method: HMAC, Secret: secret})
	e, n := redacted(t, r, decode(t, `"tenant_id":"acme","labels":{"password":"hunter2"},"metadata":{"password":"hunter2","pin":1234,"pwd":"1234"}`))
	// printf 'acme\0hunter2' | openssl dgst -sha256 -hmac 0123456789abcdef0123456789abcdef -binary | head -c 10 | base32 | tr A-Z a-z
	const marker = "[redacted:prxta4yysu7pncok]"
	if want := `{"password":"` + marker + `"}`; e.Labels != want {
		t.Errorf("labels became %s, want %s", e.Labels, want)
	}
	if n != 6 || len(e.UserID) != maxMarker || len(e.Resource) != maxMarker || e.Action != "a" || e.TenantID != "acme" {
		t.Errorf("%d values replaced: %+v", n, e)
	}
	values := map[string]string{}
	event.EachMember(e.Metadata, func(key, value string) bool { values[key] = value; return true })
	if values["password"] != `"`+marker+`"` || values["pin"] != values["pwd"] || values["pin"] == values["password"] {
		t.Errorf("equal values must have equal markers, and only they: %v", values)
	}
	other, _ := redacted(t, r, decode(t, `"tenant_id":"other","labels":{"password":"hunter2"}`))
	if other.Labels == e.Labels {
		t.Error("the markers of two tenants are the same")
	}
	rotated := newRedactor(t, Options{Defaults: true, Method: HMAC, Secret: append(secret[1:], 'x')})
	if with, _ := redacted(t, rotated, decode(t, `"tenant_id":"acme","labels":{"password":"hunter2"}`)); with.Labels == e.Labels {
		t.Error("the markers of two secrets are the same")
	}
}

// TestLimits shows that no value outgrows its field.
func TestLimits(t *testing.T) {
	r := newRedactor(t, Options{Patterns: []string{`/\d/`}})
	e := decode(t, `"reason":"`+strings.Repeat("1a", 2000)+`","user_agent":"1a","labels":{"a":"`+strings.Repeat("1a", 500)+`","b":"1b"}`)
	e, _ = redacted(t, r, e)
	if e.Reason != mask || e.UserAgent != mask+"a" || e.Labels != `{"a":"[redacted]","b":"[redacted]b"}` {
		t.Errorf("%q %q %s", e.Reason, e.UserAgent, e.Labels)
	}
	e, _ = redacted(t, r, decode(t, `"metadata":{"a":"`+strings.Repeat("1a", 30000)+`"}`))
	if e.Metadata != `{"a":"[redacted]"}` {
		t.Errorf("metadata of %d bytes", len(e.Metadata))
	}
}

func TestConcurrentUse(t *testing.T) {
	r := newRedactor(t, Options{Defaults: true, Fields: []string{"metadata.a.b"}, Patterns: []string{"card-number"}, Method: HMAC, Secret: secret})
	e := decode(t, `"metadata":{"a":{"b":"x"},"note":"card 4111 1111 1111 1111","password":"p"},"labels":{"token":"t"}`)
	want := e
	r.Redact(&want)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 500 {
				got := e
				if n := r.Redact(&got); n != 4 || got != want {
					t.Errorf("%d values replaced: %s", n, got.Metadata)
					return
				}
			}
		})
	}
	wg.Wait()
}
