package query

import (
	"bytes"
	"strings"
	"testing"
)

// FuzzVeil: nothing is read but what was hidden, for the same and for the same scope.
func FuzzVeil(f *testing.F) {
	secret := bytes.Repeat([]byte{7}, 32)
	v := newVeil(secret, "acme")
	made := string(v.seal(nil, "tail", "0:124@6c1f0e5b2d9a4873"))
	f.Add(made)
	f.Add(made[:len(made)-1])
	f.Add(made + "A")
	f.Add(strings.Replace(made, "A", "B", 1))
	f.Add("s1.")
	f.Add("")
	f.Fuzz(func(t *testing.T, hidden string) {
		text, ok := v.open("tail", hidden)
		if ok && (hidden != made || text != "0:124@6c1f0e5b2d9a4873") {
			t.Errorf("%q is read as %q", hidden, text)
		}
		if _, ok := v.open("cursor", hidden); ok {
			t.Error("it is read for another purpose")
		}
		if _, ok := newVeil(secret, "globex").open("tail", hidden); ok {
			t.Error("it is read in another scope")
		}
	})
}
