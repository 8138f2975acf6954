package event

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func members(json string) (got []string) {
	EachMember(json, func(key, value string) bool {
		got = append(got, key+"="+value)
		return true
	})
	return got
}

func elements(json string) (got []string) {
	EachElement(json, func(value string) bool {
		got = append(got, value)
		return true
	})
	return got
}

func textValues(json string) (got []string) {
	EachString(json, func(s string) bool {
		got = append(got, s)
		return true
	})
	return got
}

// TestWalk: a JSON text → what a function finds in it, joined by spaces.
func TestWalk(t *testing.T) {
	for _, c := range []struct {
		walk func(string) []string
		in   string
		want string
	}{
		{members, `{"":1,"a":"x","b\n":{"c":[1,{}]},"d":null}`, "=1 a=\"x\" b\n={\"c\":[1,{}]} d=null"},
		{members, `{"a":"}","b":["]","{"]}`, `a="}" b=["]","{"]`},
		{members, `{}`, ``},
		{members, `[1]`, ``},
		{members, ``, ``},
		{members, `{"a":1`, `a=1`},
		{members, `{"a":1,`, `a=1`},
		{members, `{"a":1,"b"`, `a=1`},
		{members, `{"a":1,"b":`, `a=1`},
		{members, `{"a":1,"b":[`, `a=1`},
		{members, `{"a":}`, ``},
		{members, `{"\x":1}`, ``},
		{members, `{"a`, ``},
		{elements, `[1,"a,]",[2,3],{"x":[]},true]`, `1 "a,]" [2,3] {"x":[]} true`},
		{elements, `[]`, ``},
		{elements, `[`, ``},
		{elements, `[1,`, `1`},
		{elements, `{"a":1}`, ``},
		{textValues, `{"a":"x","b":["y",{"c":"z\t"},1,null],"d\"":"é"}`, "x y z\t é"},
		{textValues, `"x"`, `x`},
		{textValues, `{"a":1}`, ``},
		{textValues, `["a`, ``},
		{textValues, `["a","\x","b"]`, `a`},
	} {
		if got := strings.Join(c.walk(c.in), " "); got != c.want {
			t.Errorf("%s: got %q, want %q", c.in, got, c.want)
		}
	}
}

func TestWalkStops(t *testing.T) {
	n := 0
	stop := func() bool { n++; return n%3 != 0 }
	EachMember(`{"a":1,"b":2,"c":3,"d":4}`, func(_, _ string) bool { return stop() })
	EachElement(`[1,2,3,4]`, func(string) bool { return stop() })
	EachString(`["a","b","c","d"]`, func(string) bool { return stop() })
	if n != 9 {
		t.Errorf("%d calls, want 3 of each", n)
	}
}

func TestUnquoteJSON(t *testing.T) {
	for _, c := range []struct {
		in, want string
		ok       bool
	}{
		{`""`, ``, true},
		{`"a"`, `a`, true},
		{`"a\"\\\u0000\n"`, "a\"\\\x00\n", true},
		{`"\ud83d\ude00"`, "😀", true},
		{`"\ud83d"`, "\ufffd", true},
		{`"\x"`, ``, false},
		{`"\u00"`, ``, false},
		{`"\"`, ``, false},
		{`"`, ``, false},
		{``, ``, false},
		{`1`, ``, false},
		{`null`, ``, false},
		{`{"a":"b"}`, ``, false},
	} {
		if got, ok := UnquoteJSON(c.in); got != c.want || ok != c.ok {
			t.Errorf("%s: got %q, %t, want %q, %t", c.in, got, ok, c.want, c.ok)
		}
	}
}

// TestScanString puts every byte at every place of a word and beyond.
func TestScanString(t *testing.T) {
	for place := range 20 {
		for c := range 256 {
			b := []byte(strings.Repeat("x", 20) + `"` + strings.Repeat("y", 20))
			b[place] = byte(c)
			end, flags := scanString(b, 0)
			wantEnd, want := 20, stringFlags(0)
			switch {
			case c == '"':
				wantEnd = place
			case c == '\\':
				want = hasEscape
				if place == 19 {
					wantEnd = -1
				}
			case c < 0x20:
				want = hasControl
			case c >= 0x80:
				want = hasNonASCII
			}
			if end != wantEnd || flags != want {
				t.Fatalf("byte %#x at %d: got %d, %b, want %d, %b", c, place, end, flags, wantEnd, want)
			}
			if s := string(b[:20]); c < 0x80 {
				if got, ok := UnquoteJSON(string(AppendString(nil, s))); !ok || got != s {
					t.Fatalf("%q came back as %q", s, got)
				}
			}
		}
	}
}

// FuzzWalk checks that the walkers end on any text, and that on canonical JSON
// they find all of it.
func FuzzWalk(f *testing.F) {
	for _, s := range []string{`{"a":1,"b":["x",{"c":"\n"}]}`, `[1,[2],"3"]`, `{"a":[}`, `[[[`, `"\`, `{"a":"b":"c"}`, `1e5`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		textValues(s)
		CompareNumbers(s, "1")
		gotMembers, gotElements := members(s), elements(s)
		if canonicalEnd([]byte(s), 0, 1) != len(s) || s == "" {
			return
		}
		switch s[0] {
		case '{':
			rebuilt := []byte{'{'}
			EachMember(s, func(key, value string) bool {
				if len(rebuilt) > 1 {
					rebuilt = append(rebuilt, ',')
				}
				rebuilt = fmt.Appendf(AppendString(rebuilt, key), ":%s", value)
				return true
			})
			if string(rebuilt)+"}" != s {
				t.Errorf("%s has members %q", s, gotMembers)
			}
		case '[':
			if "["+strings.Join(gotElements, ",")+"]" != s {
				t.Errorf("%s has elements %q", s, gotElements)
			}
		case '"':
			if text, ok := UnquoteJSON(s); !ok || !slices.Equal(textValues(s), []string{text}) {
				t.Errorf("%s has strings %q", s, textValues(s))
			}
		}
	})
}
