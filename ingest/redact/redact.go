package redact

import (
	"fmt"
	"strings"
	"sync"

	"github.com/daybook-log/daybook/event"
)

// Options says what is redacted.
type Options struct {
	// Defaults redacts the keys of [DefaultKeys].
	Defaults bool

	// Keys are further keys, wherever they stand in metadata, labels and changes.
	// Everything below one is secret. At most [MaxKeys].
	Keys []string

	// Fields are selectors of the filter language: reason, labels.token,
	// metadata.card.number, changes.new.iban. One of changes means old and new
	// alike, because what one event has in new the next has in old, and also an
	// element whose path ends in what is selected. A field is refused that a marker
	// would make invalid (source_ip, outcome …) or without which events cannot be
	// told apart (tenant_id, action; user_id and resource but with HMAC). At most
	// [MaxFields].
	Fields []string

	// Patterns are names of built-in patterns ([PatternNames]) or regular
	// expressions between slashes. At most [MaxPatterns], of [MaxExpression] bytes.
	Patterns []string

	Method Method
	Secret []byte // the key of HMAC, at least [MinSecret] bytes
}

// Redactor takes secrets out of events. It is safe for concurrent use.
type Redactor struct {
	keys     keySet
	fields   fieldSet
	patterns []pattern
	cards    bool // card-number is one of them, and looks at numbers too
	marker   marker
	passes   sync.Pool // of *pass
}

// freeText are the fields that patterns look into.
var freeText = []event.Field{event.UserName, event.ResourceName, event.UserAgent, event.Reason}

// New returns a Redactor. An error names the setting, its value, and what would be
// accepted; it never holds the secret.
func New(o Options) (*Redactor, error) {
	r := new(Redactor)
	r.passes.New = func() any { return &pass{r: r} }
	switch o.Method {
	case Mask:
	case HMAC:
		if len(o.Secret) < MinSecret {
			return nil, fmt.Errorf("redact.method hmac: the secret is %d bytes long; at least %d are accepted", len(o.Secret), MinSecret)
		}
		r.marker = newMarker(append([]byte(nil), o.Secret...))
	default:
		return nil, fmt.Errorf("redact.method %d: mask or hmac is accepted", o.Method)
	}
	for _, limit := range []struct {
		setting   string
		is, atMax int
	}{{"redact.keys", len(o.Keys), MaxKeys}, {"redact.fields", len(o.Fields), MaxFields}, {"redact.patterns", len(o.Patterns), MaxPatterns}} {
		if limit.is > limit.atMax {
			return nil, fmt.Errorf("%s: there are %d; at most %d are accepted", limit.setting, limit.is, limit.atMax)
		}
	}
	if o.Defaults {
		r.addDefaults()
	}
	for _, key := range o.Keys {
		folded, err := parseKey(key)
		if err != nil {
			return nil, err
		}
		r.keys.add(folded, all)
	}
	for _, selector := range o.Fields {
		if err := r.fields.add(selector, o.Method); err != nil {
			return nil, err
		}
	}
	for _, paths := range [][]path{r.fields.labels, r.fields.metadata, r.fields.changes} {
		for _, p := range paths {
			r.addTails(p)
		}
	}
	for _, s := range o.Patterns {
		p, err := parsePattern(s)
		if err != nil {
			return nil, err
		}
		r.patterns = append(r.patterns, p)
		r.cards = r.cards || s == cardNumber
	}
	return r, nil
}

func (r *Redactor) addDefaults() {
	for _, key := range secretKeys {
		r.keys.add(string(appendFolded(nil, key)), all)
	}
	for _, key := range secretScalars {
		r.keys.add(string(appendFolded(nil, key)), scalars)
	}
}

// addTails makes keys that a path may end with be noticed.
func (r *Redactor) addTails(p path) {
	for _, key := range p.tails() {
		if folded := string(appendFolded(nil, key)); folded != "" && len(folded) <= MaxKey && !strings.ContainsFunc(key, isEscaped) {
			r.keys.add(folded, inPath)
		} else {
			r.fields.odd = true
		}
	}
}

// Redact replaces what is secret in e, whose changes, labels and metadata are
// canonical JSON as [event.Decoder] leaves them, and returns how many values it
// replaced, in whole or in part. It gives e new strings and changes no byte of the
// old ones, which e may share with others.
func (r *Redactor) Redact(e *event.Event) (n int) {
	metadata := e.Metadata != "" && r.concerns(e.Metadata)
	labels := e.Labels != "" && r.concerns(e.Labels)
	changes := e.Changes != "" && (r.concerns(e.Changes) || r.concernsPath(e.Changes))
	if metadata || labels || changes {
		p := r.passes.Get().(*pass)
		p.tenant = e.TenantID
		if metadata {
			n += p.document(&e.Metadata, r.fields.metadata, event.MaxSize)
		}
		if labels {
			n += p.document(&e.Labels, r.fields.labels, event.MaxLabelValue)
		}
		if changes {
			n += p.changes(&e.Changes)
		}
		p.release()
	}
	for _, f := range r.fields.text {
		if text := e.Text(f); text != "" && !isMarker(text) {
			e.SetText(f, string(r.marker.append(nil, e.TenantID, text)))
			n++
		}
	}
	if r.patterns != nil {
		for _, f := range freeText {
			if text := e.Text(f); text != "" {
				var buf [MaxPatterns]*pattern
				if out, changed := r.replace(e.TenantID, text, r.mayMatch(buf[:0], text), textLimit(f)); changed {
					e.SetText(f, out)
					n++
				}
			}
		}
	}
	return n
}

// concerns reports whether something in the canonical JSON may have to be replaced.
func (r *Redactor) concerns(json string) bool {
	if r.keys.mayHold(json) || r.fields.odd {
		return true
	}
	for i := range r.patterns {
		if may := r.patterns[i].mayMatch; may == nil || may(json) {
			return true
		}
	}
	return false
}

// concernsPath reports whether the path of a change may end in a secret key.
func (r *Redactor) concernsPath(json string) bool {
	if len(r.fields.changes) > 0 {
		return true
	}
	const member = `"path":"`
	for {
		_, rest, ok := strings.Cut(json, member)
		if !ok {
			return false
		}
		end := strings.IndexByte(rest, '"')
		if end < 0 {
			return false
		}
		where := rest[:end]
		if strings.IndexByte(where, '\\') >= 0 || r.keys.kind(lastKey(where)) != plain {
			return true
		}
		json = rest[end:]
	}
}
