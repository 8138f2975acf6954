package oidc

import (
	"bytes"
	"cmp"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const (
	flowLifetime = 10 * time.Minute
	maxFlows     = 8    // that a browser may have under way
	maxReturnTo  = 1024 // bytes; eight cookies must fit in the header of a request

	hostPrefix  = "__Host-daybook-flow-"
	plainPrefix = "daybook-flow-"

	flowVersion = 1
	flowFixed   = 8 + 3*32 // bytes of a sealed flow before its path
	flowCover   = 1 + 12 + 16
)

var errFlowMangled = errors.New("was changed, or is of another server")

// flow is a sign-in under way.
type flow struct {
	expires                time.Time
	state, nonce, verifier [32]byte
	returnTo               string
}

func newFlow(returnTo string) *flow {
	if !isLocal(returnTo) {
		returnTo = "/"
	}
	return &flow{expires: time.Now().Add(flowLifetime), state: random32(), nonce: random32(), verifier: random32(), returnTo: returnTo}
}

// isLocal reports whether a browser that is sent to s stays with this server, and
// whether s may stand in a header. Browsers read \ as /, drop tabs and line ends, and
// take what follows // for a host.
func isLocal(s string) bool {
	if s == "" || s[0] != '/' || len(s) > maxReturnTo {
		return false
	}
	for _, c := range []byte(s) {
		if c <= ' ' || c > '~' || c == '\\' {
			return false
		}
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil {
		return false
	}
	path, _, _ := strings.Cut(s, "#")
	path, _, _ = strings.Cut(path, "?")
	return !strings.Contains(path, "//")
}

// newSeal returns what encrypts flow cookies.
func newSeal(o Options) (cipher.AEAD, error) {
	info := strings.Join([]string{"daybook oidc flow 1", o.Issuer, o.ClientID, o.RedirectURL, ""}, "\x00")
	key, err := hkdf.Key(sha256.New, o.Secret, nil, info, 32)
	if err != nil {
		return nil, fmt.Errorf("oidc: deriving the key of flow cookies: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("oidc: making the cipher of flow cookies: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}

// encode32 is how random values are written into URLs.
func encode32(b [32]byte) string { return base64.RawURLEncoding.EncodeToString(b[:]) }

func (p *Provider) cookieName(state [32]byte) string {
	sum := sha256.Sum256(state[:])
	return p.prefix + hex.EncodeToString(sum[:8])
}

// cookie returns a flow cookie. A lifetime of zero clears it.
func (p *Provider) cookie(name, value string, lifetime time.Duration) *http.Cookie {
	return &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: cmp.Or(int(lifetime/time.Second), -1),
		HttpOnly: true, Secure: p.secure, SameSite: http.SameSiteLaxMode,
	}
}

// encode returns the value of f's cookie.
func (p *Provider) encode(f *flow) string {
	plain := make([]byte, 0, flowFixed+len(f.returnTo))
	plain = binary.BigEndian.AppendUint64(plain, uint64(f.expires.Unix()))
	plain = append(plain, f.state[:]...)
	plain = append(plain, f.nonce[:]...)
	plain = append(plain, f.verifier[:]...)
	plain = append(plain, f.returnTo...)
	sealed := p.seal.Seal([]byte{flowVersion}, nil, plain, flowContext(p.cookieName(f.state)))
	return base64.RawURLEncoding.EncodeToString(sealed)
}

// decode opens the value of a flow cookie. It does not ask whether the flow has
// expired.
func (p *Provider) decode(name, value string) (*flow, error) {
	if len(value) > base64.RawURLEncoding.EncodedLen(flowCover+flowFixed+maxReturnTo) {
		return nil, errFlowMangled
	}
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(value)
	if err != nil || len(sealed) == 0 || sealed[0] != flowVersion {
		return nil, errFlowMangled
	}
	plain, err := p.seal.Open(nil, nil, sealed[1:], flowContext(name))
	if err != nil || len(plain) < flowFixed {
		return nil, errFlowMangled
	}
	f := &flow{expires: time.Unix(int64(binary.BigEndian.Uint64(plain)), 0), returnTo: string(plain[flowFixed:])}
	copy(f.state[:], plain[8:])
	copy(f.nonce[:], plain[40:])
	copy(f.verifier[:], plain[72:])
	if !isLocal(f.returnTo) {
		return nil, errFlowMangled
	}
	return f, nil
}

// flowContext is what is authenticated with a sealed flow.
func flowContext(name string) []byte { return append([]byte{flowVersion}, name...) }

// takeFlow returns the flow that a callback's state belongs to, and clears its
// cookie.
func (p *Provider) takeFlow(w http.ResponseWriter, r *http.Request, state string) (*flow, error) {
	var given [32]byte
	raw, err := base64.RawURLEncoding.Strict().DecodeString(state)
	if err != nil || len(raw) != len(given) {
		return nil, fmt.Errorf("%w: the callback's state is not one of this server", ErrFlow)
	}
	copy(given[:], raw)
	name := p.cookieName(given)
	cookies := r.CookiesNamed(name)
	if len(cookies) == 0 {
		return nil, fmt.Errorf("%w: its cookie is missing, so it took longer than %v, was finished before, or was begun in another browser", ErrFlow, flowLifetime)
	}
	http.SetCookie(w, p.cookie(name, "", 0))
	f, err := p.decode(name, cookies[0].Value)
	if err != nil {
		return nil, fmt.Errorf("%w: its cookie %w", ErrFlow, err)
	}
	if subtle.ConstantTimeCompare(f.state[:], given[:]) != 1 {
		return nil, fmt.Errorf("%w: the callback's state is that of another", ErrFlow)
	}
	if !time.Now().Before(f.expires) {
		return nil, fmt.Errorf("%w: it took longer than %v", ErrFlow, flowLifetime)
	}
	return f, nil
}

// discardOldest makes room for one more flow cookie. Those that do not open, or
// have expired, are the oldest.
func (p *Provider) discardOldest(w http.ResponseWriter, r *http.Request) {
	type entry struct {
		name    string
		expires time.Time
	}
	var entries []entry
	for _, c := range r.Cookies() {
		if !strings.HasPrefix(c.Name, p.prefix) {
			continue
		}
		e := entry{name: c.Name}
		if f, err := p.decode(c.Name, c.Value); err == nil {
			e.expires = f.expires
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b entry) int { return a.expires.Compare(b.expires) })
	for _, e := range entries[:max(0, len(entries)-maxFlows+1)] {
		http.SetCookie(w, p.cookie(e.name, "", 0))
	}
}

// clip returns the beginning of a text that somebody else wrote, fit for a log.
func clip(s string) string {
	const most = 300
	if len(s) > most {
		s = s[:most] + "…"
	}
	return string(bytes.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, bytes.ToValidUTF8([]byte(s), nil)))
}
