package redact

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
	"unsafe"
)

// kind says what a key tells of the value beside it.
type kind uint8

const (
	plain   kind = iota
	scalars      // a string or number, alone or in an array, is secret; an object is looked into
	all          // every string and number is secret, at any depth
	kinds   = 3  // mask of the above
	inPath  = 4  // a selector may end with this key
)

// secretScalars are the names that logs use for a secret and also for an object
// that describes one.
var secretScalars = []string{"authorization", "credential", "credentials", "secret", "token"}

// secretKeys are the names that hold a secret in the logs, settings and HTTP
// requests of every kind of program. A name is not here if real logs use it for
// something else: secret_id (CloudTrail's is an ARN), key, code, signature, nonce,
// secrets (a permission of GitHub's).
var secretKeys = []string{
	// Passwords, and what they can be guessed from.
	"password", "passwd", "pwd", "passphrase", "passcode",
	"user_password", "login_password", "admin_password", "root_password", "master_password", "master_user_password",
	"db_password", "database_password", "new_password", "old_password", "current_password", "previous_password",
	"temporary_password", "initial_password", "password_confirmation", "confirm_password", "proposed_password",
	"plaintext_password", "password_hash", "hashed_password", "encrypted_password",
	// Secrets of applications.
	"client_secret", "app_secret", "application_secret", "api_secret", "consumer_secret", "shared_secret", "webhook_secret",
	"signing_secret", "token_secret", "secret_token", "secret_key", "secret_value", "secret_string", "secret_binary",
	"secret_access_key", "aws_secret_access_key", "totp_secret", "otp_secret", "mfa_secret",
	// Tokens.
	"access_token", "refresh_token", "id_token", "session_token", "auth_token", "authentication_token", "bearer_token",
	"api_token", "oauth_token", "user_token", "login_token", "personal_access_token", "security_token", "web_identity_token",
	"client_token", "token_value", "reset_token", "password_reset_token", "invite_token", "invitation_token", "csrf", "csrf_token", "xsrf_token", "jwt",
	"aws_session_token", "private_token", "job_token", "device_code", "authorization_code", "code_verifier",
	"client_assertion", "saml_assertion", "saml_response",
	// Keys.
	"api_key", "private_key", "private_key_pem", "private_key_data", "ssh_private_key", "account_key", "storage_account_key",
	"subscription_key", "connection_string", "unseal_key", "unseal_keys",
	// HTTP.
	"proxy_authorization", "cookie", "cookies", "set_cookie", "x_api_key", "x_auth_token", "x_access_token", "x_csrf_token",
	"x_xsrf_token", "x_amz_security_token", "x_vault_token", "x_gitlab_token", "ocp_apim_subscription_key",
	// What a card's or an account's owner proves himself with. PCI DSS 3.3.1 forbids to keep the first six.
	"cvv", "cvv2", "cvc", "cvc2", "pin", "pin_block", "otp", "totp", "otp_code", "mfa_code", "one_time_password",
	"recovery_code", "recovery_codes", "backup_codes", "security_answer",
}

// DefaultKeys returns the keys that [Options].Defaults redacts: those below which
// everything is secret, and those beside which an object is looked into.
func DefaultKeys() (everything, scalarsOnly []string) {
	return slices.Clone(secretKeys), slices.Clone(secretScalars)
}

// Limits of [Options].
const (
	MaxKeys = 1024 // further keys
	MaxKey  = 128  // bytes of one, without what is not compared
)

// isIgnored reports whether c is not compared.
func isIgnored(c byte) bool { return c == '-' || c == '_' || c == '.' }

// appendFolded appends key as it is compared: lower case, without '-', '_', '.'.
// No letter outside ASCII becomes one of ASCII.
func appendFolded(dst []byte, key string) []byte {
	for i := 0; i < len(key); i++ {
		switch c := key[i]; {
		case isIgnored(c):
		case c >= utf8.RuneSelf:
			r, n := utf8.DecodeRuneInString(key[i:])
			if low := unicode.ToLower(r); low >= utf8.RuneSelf {
				r = low
			}
			dst = utf8.AppendRune(dst, r)
			i += n - 1
		default:
			dst = append(dst, lower[c])
		}
	}
	return dst
}

// lower maps the letters of ASCII to lower case.
var lower = func() (t [256]byte) {
	for c := range t {
		t[c] = byte(c)
		if c >= 'A' && c <= 'Z' {
			t[c] += 'a' - 'A'
		}
	}
	return t
}()

// keySet is a set of folded keys that is fast to rule out. Before the exact map
// stands a trie of the keys as they are read from their end, because that is where
// one comes to them from the colon.
type keySet struct {
	kinds map[string]kind
	trie  []node // the root first; nil when there is no key
}

// node is where one is after some bytes from the end of a key.
type node struct {
	next [numClasses]uint32 // by the class of the byte before; 0: no key goes on like this
	key  bool               // a key begins here
	more bool               // a key is longer than the trie is deep: it goes on somehow
}

// maxDepth is how many bytes of a key the trie has.
const maxDepth = 16

// Classes of bytes, beside one for each letter. Few classes make small nodes; that
// digits are not told apart costs nothing, for the map has the last word.
const (
	classOther = iota
	classIgnored
	classQuote
	classDigit
	classNonASCII
	classLetters // 'a' and up
	numClasses   = 32
)

var classes = func() (t [256]uint8) {
	for c := range t {
		switch l := lower[c]; {
		case l >= 'a' && l <= 'z':
			t[c] = classLetters + l - 'a'
		case l >= '0' && l <= '9':
			t[c] = classDigit
		case l >= utf8.RuneSelf:
			t[c] = classNonASCII
		case l == '"':
			t[c] = classQuote
		case isIgnored(l):
			t[c] = classIgnored
		}
	}
	return t
}()

// add adds a key that appendFolded has folded and that is not empty.
func (s *keySet) add(folded string, k kind) {
	if s.kinds == nil {
		s.kinds, s.trie = make(map[string]kind), make([]node, 1)
	}
	was := s.kinds[folded]
	s.kinds[folded] = max(was&kinds, k&kinds) | (was|k)&inPath
	at := uint32(0)
	for i := len(folded) - 1; i >= 0; i-- {
		if len(folded)-1-i == maxDepth {
			s.trie[at].more = true
			return
		}
		next := &s.trie[at].next[classes[folded[i]]%numClasses]
		if *next == 0 {
			*next = uint32(len(s.trie))
			s.trie = append(s.trie, node{})
		}
		at = s.trie[at].next[classes[folded[i]]%numClasses]
	}
	s.trie[at].key = true
}

// mayHold reports whether a key of the canonical JSON may be in s. It errs only
// to the side of true. A key that is written with an escape is in no set.
func (s *keySet) mayHold(json string) bool {
	if s.trie == nil {
		return false
	}
	// A key stands before each quote that a colon follows, or the end of a string
	// that is no key and has \": in it.
	b := unsafe.Slice(unsafe.StringData(json), len(json))
	i := 1
	for ; i+9 <= len(b); i += 8 {
		const low, high = 0x0101010101010101, 0x8080808080808080
		quotes := binary.LittleEndian.Uint64(b[i:]) ^ low*'"'
		colons := binary.LittleEndian.Uint64(b[i+1:]) ^ low*':'
		both := quotes | colons // a byte is 0 where a quote is and a colon follows
		for found := (both - low) &^ both & high; found != 0; found &= found - 1 {
			if s.endsAt(json, i+bits.TrailingZeros64(found)>>3) {
				return true
			}
		}
	}
	for ; i+1 < len(b); i++ {
		if b[i] == '"' && b[i+1] == ':' && s.endsAt(json, i) {
			return true
		}
	}
	return false
}

// endsAt reports whether the text between json[end] and the last quote before it
// may be in s.
func (s *keySet) endsAt(json string, end int) bool {
	at := &s.trie[0]
	for i := end - 1; i >= 0; i-- {
		switch c := classes[json[i]]; c {
		case classIgnored:
		case classQuote:
			return at.key
		default:
			next := at.next[c%numClasses]
			if next == 0 {
				return at.more
			}
			at = &s.trie[next]
		}
	}
	return false
}

// kind returns what a key, as it stands in canonical JSON, tells of its value.
func (s *keySet) kind(key string) kind {
	var buf [2 * MaxKey]byte
	if len(key) > len(buf)/2 { // folding a character may lengthen it
		return s.kinds[string(appendFolded(nil, key))]
	}
	return s.kinds[string(appendFolded(buf[:0], key))]
}

// parseKey folds a key of [Options].Keys.
func parseKey(key string) (string, error) {
	folded := string(appendFolded(nil, key))
	switch {
	case folded == "":
		return "", fmt.Errorf("redact.keys %q: a key is accepted that has more than '-', '_' and '.'", key)
	case len(folded) > MaxKey:
		return "", fmt.Errorf("redact.keys %q: is %d bytes long; at most %d are accepted", key, len(folded), MaxKey)
	case !utf8.ValidString(key) || strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' }):
		return "", fmt.Errorf("redact.keys %q: a key without quotes, backslashes and control characters is accepted; redact.fields takes any", key)
	}
	return folded, nil
}
