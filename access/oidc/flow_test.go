package oidc

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"
)

// Where a user may be sent after a sign-in. The rest would be a link to anywhere
// that begins with this server's address.
func TestReturnTo(t *testing.T) {
	tests := []struct {
		returnTo string
		local    bool
	}{
		{"/", true},
		{"/events", true},
		{"/events?q=action%20%3D%20%22a%22&from=-1h", true},
		{"/events?next=https://evil.example//x", true}, // a query is the page's own
		{"/events#//evil.example", true},
		{"/a/../b", true},
		{"/%2f/evil.example", true}, // a browser does not decode it
		{"/@evil.example", true},
		{"/" + strings.Repeat("x", maxReturnTo-1), true},

		{"", false},
		{"events", false},
		{"?q=a", false},
		{"https://evil.example", false},
		{"HTTPS://evil.example/", false},
		{"https:evil.example", false},
		{"javascript:alert(1)", false},
		{"//evil.example", false},
		{"///evil.example", false},
		{"/a//evil.example", false},
		{"/.//evil.example", false},
		{"/..//evil.example", false},
		{`/\evil.example`, false},
		{`\\evil.example`, false},
		{`/a\..\\evil.example`, false},
		{"/\t/evil.example", false},
		{"/\n/evil.example", false},
		{"/a\r\nSet-Cookie: a=b", false},
		{" /events", false},
		{"/ /evil.example", false},
		{"/\x00", false},
		{"/\x7f", false},
		{"/é", false},
		{"/\u2028/evil.example", false},
		{"/%zz", false},
		{"/" + strings.Repeat("x", maxReturnTo), false},
	}
	for _, tt := range tests {
		want := "/"
		if tt.local {
			want = tt.returnTo
		}
		if got := newFlow(tt.returnTo).returnTo; got != want {
			t.Errorf("%.60q: returns to %.60q, want %.60q", tt.returnTo, got, want)
		}
	}
}

func sealer(t testing.TB) *Provider {
	p, err := Open(Options{Issuer: "https://id.example", ClientID: "daybook", RedirectURL: "https://log.example/oidc/callback", Secret: testSecret})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// A flow that this version of the format has sealed.
const (
	goldenName  = "__Host-daybook-flow-630dcd2966c43366"
	goldenValue = "AdSVJ7Fx9xXIzqopEACqndclF3DIM9ixWphy2R-6_x7t9udJk9yV7QckslXnbcrXiWJ33eZ_BQNmhx69g5V6TrXmt5aSsWD7LoQoH2J7Tz97g4VC95iYK33_qeJFjZ2e2uqHTeiUaNTWNBWMybQmcsG7uRGXh21LYeq6YXwzSBYReVv_3Ul9ve13c8XI5r9X"
)

func golden() *flow {
	f := &flow{expires: time.Unix(4102444800, 0), returnTo: "/events?q=a"}
	for i := range 32 {
		f.state[i], f.nonce[i], f.verifier[i] = byte(i), byte(0x40+i), byte(0x80+i)
	}
	return f
}

func TestFlowFormat(t *testing.T) {
	p := sealer(t)
	f, err := p.decode(goldenName, goldenValue)
	if err != nil {
		t.Fatal(err)
	}
	if *f != *golden() {
		t.Errorf("got %+v, want %+v", f, golden())
	}
	if got := p.cookieName(f.state); got != goldenName {
		t.Errorf("its cookie is called %s, want %s", got, goldenName)
	}
	if a, b := p.encode(f), p.encode(f); a == b || len(a) != len(goldenValue) {
		t.Errorf("sealed twice it is %q and %q: both must have %d characters and not be the same", a, b, len(goldenValue))
	}
}

// Every byte of a cookie counts.
func TestFlowChanged(t *testing.T) {
	p := sealer(t)
	raw, err := base64.RawURLEncoding.DecodeString(goldenValue)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		raw[i] ^= 1
		if _, err := p.decode(goldenName, base64.RawURLEncoding.EncodeToString(raw)); err == nil {
			t.Errorf("with byte %d changed it opens", i)
		}
		raw[i] ^= 1
		if _, err := p.decode(goldenName, base64.RawURLEncoding.EncodeToString(raw[:i])); err == nil {
			t.Errorf("cut after %d bytes it opens", i)
		}
	}
	if _, err := p.decode(goldenName+"0", goldenValue); err == nil {
		t.Error("it opens under another name")
	}
}

// A cookie fits into a request's header, and eight do.
func TestFlowSize(t *testing.T) {
	p := sealer(t)
	f := newFlow("/" + strings.Repeat("x", maxReturnTo-1))
	if n := len(p.cookieName(f.state)) + 1 + len(p.encode(f)); n > 2048 {
		t.Errorf("the largest flow cookie has %d bytes", n)
	}
	if _, err := p.decode(p.cookieName(f.state), p.encode(f)); err != nil {
		t.Errorf("the largest flow: %v", err)
	}
}

func TestOptions(t *testing.T) {
	tests := []struct {
		name   string
		change func(*Options)
		says   string // "": they are good
	}{
		{"good", func(*Options) {}, ""},
		{"http on this machine", func(o *Options) { o.Issuer, o.RedirectURL = "http://127.0.0.1:5556/dex", "http://localhost:8080/cb" }, ""},
		{"http on this machine, IPv6", func(o *Options) { o.Issuer = "http://[::1]:5556" }, ""},
		{"no scope", func(o *Options) { o.Scopes = []string{} }, ""},
		{"no issuer", func(o *Options) { o.Issuer = "" }, "option Issuer is missing"},
		{"issuer over http", func(o *Options) { o.Issuer = "http://id.example" }, `option Issuer is "http://id.example": it must be an absolute https URL`},
		{"issuer that looks local", func(o *Options) { o.Issuer = "http://127.0.0.1.example" }, "it must be an absolute https URL"},
		{"issuer without a scheme", func(o *Options) { o.Issuer = "id.example" }, "it must be an absolute https URL"},
		{"issuer with a query", func(o *Options) { o.Issuer += "?a=b" }, "it must have no query"},
		{"issuer with a password", func(o *Options) { o.Issuer = "https://u:hunter2@id.example" }, "without user"},
		{"no client", func(o *Options) { o.ClientID = "" }, "option ClientID is missing"},
		{"no callback", func(o *Options) { o.RedirectURL = "" }, "option RedirectURL is missing"},
		{"a callback that is a path", func(o *Options) { o.RedirectURL = "/oidc/callback" }, "option RedirectURL"},
		{"a callback with a fragment", func(o *Options) { o.RedirectURL += "#x" }, "without user and fragment"},
		{"a short secret", func(o *Options) { o.Secret = o.Secret[:31] }, "option Secret has 31 bytes: it must have at least 32"},
		{"a scope with a space", func(o *Options) { o.Scopes = []string{"profile email"} }, `option Scopes has "profile email"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o := Options{Issuer: "https://id.example", ClientID: "daybook", RedirectURL: "https://log.example/oidc/callback", Secret: testSecret}
			tt.change(&o)
			_, err := Open(o)
			if tt.says == "" && err != nil || tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says)) {
				t.Fatalf("got %v, want %q", err, tt.says)
			}
			if err != nil && (strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), string(testSecret[:8]))) {
				t.Errorf("a secret is in %q", err)
			}
		})
	}
}

// FuzzFlow opens what a browser may send as a flow cookie, and what a holder of
// the secret could have sealed.
func FuzzFlow(f *testing.F) {
	f.Add(goldenName, goldenValue, []byte("plain"))
	f.Add("", "", make([]byte, flowFixed))
	f.Add(hostPrefix, "AQ", append(make([]byte, flowFixed), "//evil.example"...))
	p := sealer(f)
	f.Fuzz(func(t *testing.T, name, value string, plain []byte) {
		if flow, err := p.decode(name, value); err == nil && (name != goldenName || value != goldenValue) {
			t.Errorf("%q opens as %+v under the name %q", value, flow, name)
		}
		sealed := base64.RawURLEncoding.EncodeToString(p.seal.Seal([]byte{flowVersion}, nil, plain, flowContext(name)))
		flow, err := p.decode(name, sealed)
		if err != nil {
			return
		}
		if !isLocal(flow.returnTo) {
			t.Errorf("%x opens and returns to %q", plain, flow.returnTo)
		}
		again, err := p.decode(p.cookieName(flow.state), p.encode(flow))
		if err != nil || *again != *flow {
			t.Errorf("%+v becomes %+v, %v", flow, again, err)
		}
	})
}
