package event

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// FuzzDecode checks that no input makes the Decoder panic, that it accepts only
// JSON, and that the canonical form of what it accepts decodes to the same event
// and the same bytes, by the fast path and by the slow one.
func FuzzDecode(f *testing.F) {
	for _, s := range []string{
		benchCanonical, benchSent, minimal + "}",
		minimal + `,"timestamp":1764000000123,"source_ip":"::FFFF:1.2.3.4"}`,
		minimal + `,"reason":"\ud83d\ude00\n\u0000é","changes":[{"path":"p","old":1e400}]}`,
		minimal + `,"metadata":{"b":{"a":1,"a":2},"n":[1.0,-0,1e-7,9007199254740993]}}`,
		minimal + `,"userid":"\ud83d","labels":{"a":1}}`,
		`{"user_id":"` + "\xff\x00" + `"}`, `{"metadata":` + strings.Repeat("[", 100), `[]`, ``,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var d Decoder
		var e, again, rewritten Event
		if err := d.Decode(data, &e); err != nil {
			if errs, ok := err.(Errors); !ok || len(errs) == 0 {
				t.Fatalf("the error is %#v", err)
			}
			return
		}
		if !json.Valid(data) {
			t.Fatal("accepted, but no JSON")
		}
		canonical := AppendCanonical(nil, &e)
		if err := d.Decode(canonical, &again); err != nil || again != e {
			t.Fatalf("%s\ndecodes to %+v, %v\nwant %+v", canonical, again, err, e)
		}
		if end := canonicalEnd(canonical, 0, 1); end != len(canonical) {
			t.Fatalf("not recognised as canonical: %s", canonical)
		}
		// A space before every value keeps the Decoder off the fast path.
		spaced := AppendJSON(nil, &e, AllFields&^Fields(ReceivedAt, Partition, Offset))
		for _, key := range memberKeys[Changes:ReceivedAt] {
			spaced = bytes.Replace(spaced, []byte(key+"{"), []byte(key+" { "), 1)
			spaced = bytes.Replace(spaced, []byte(key+"["), []byte(key+" [ "), 1)
		}
		if len(spaced) > MaxSize {
			return
		}
		if err := d.Decode(spaced, &rewritten); err != nil || rewritten != e {
			t.Fatalf("%s\ndecodes to %+v, %v\nwant %+v", spaced, rewritten, err, e)
		}
	})
}

// FuzzCanonicalJSON checks that no input makes AppendCanonicalJSON panic, that
// it accepts only JSON, keeps the value, and changes nothing the second time.
func FuzzCanonicalJSON(f *testing.F) {
	for _, s := range []string{
		`{"b":1,"a":[1.50,-0,1e21,1E400,9007199254740993,0.0000001]}`, `{"\ufb33":1,"😀":2,"\u20ac":3,"\r":4}`,
		` [ true , false , null , "\u001f\/\"" ] `, `{"a":{"a":1,"a":1}}`, `"\ud800"`, `-`, `{"a\"":1,"a#":2}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		once, err := AppendCanonicalJSON(nil, in)
		if err != nil {
			return
		}
		if !json.Valid(in) {
			t.Fatal("accepted, but no JSON")
		}
		if end := canonicalEnd(once, 0, 1); end != len(once) {
			t.Fatalf("not recognised as canonical: %s", once)
		}
		r := rewriter{src: once}
		if r.value(0, 1) != len(once) || !bytes.Equal(r.out, once) {
			t.Fatalf("not stable: %s became %s", once, r.out)
		}
		if json.Unmarshal(in, new(any)) == nil && !sameValue(t, in, once) { // it refuses 1e400
			t.Fatalf("another value: %s became %s", in, once)
		}
	})
}
