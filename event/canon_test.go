package event

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// The numbers of RFC 8785, appendix B: IEEE 754 bits and their form.
func TestFloatsOfRFC8785(t *testing.T) {
	for _, c := range []struct {
		bits uint64
		want string
	}{
		{0x0000000000000000, "0"},
		{0x8000000000000000, "0"},
		{0x0000000000000001, "5e-324"},
		{0x8000000000000001, "-5e-324"},
		{0x7fefffffffffffff, "1.7976931348623157e+308"},
		{0xffefffffffffffff, "-1.7976931348623157e+308"},
		{0x4340000000000000, "9007199254740992"},
		{0xc340000000000000, "-9007199254740992"},
		{0x4430000000000000, "295147905179352830000"},
		{0x44b52d02c7e14af5, "9.999999999999997e+22"},
		{0x44b52d02c7e14af6, "1e+23"},
		{0x44b52d02c7e14af7, "1.0000000000000001e+23"},
		{0x444b1ae4d6e2ef4e, "999999999999999700000"},
		{0x444b1ae4d6e2ef4f, "999999999999999900000"},
		{0x444b1ae4d6e2ef50, "1e+21"},
		{0x3eb0c6f7a0b5ed8c, "9.999999999999997e-7"},
		{0x3eb0c6f7a0b5ed8d, "0.000001"},
		{0x41b3de4355555553, "333333333.3333332"},
		{0x41b3de4355555554, "333333333.33333325"},
		{0x41b3de4355555555, "333333333.3333333"},
		{0x41b3de4355555556, "333333333.3333334"},
		{0x41b3de4355555557, "333333333.33333343"},
		{0xbecbf647612f3696, "-0.0000033333333333333333"},
		{0x43143ff3c1cb0959, "1424953923781206.2"},
	} {
		got := string(appendFloat(nil, math.Float64frombits(c.bits)))
		if got != c.want {
			t.Errorf("%016x: got %s, want %s", c.bits, got, c.want)
		}
		if again, err := AppendCanonicalJSON(nil, []byte(got)); err != nil || string(again) != got {
			t.Errorf("%s is canonical, but became %s, %v", got, again, err)
		}
	}
}

// TestCanonicalJSON: a document → its canonical form.
func TestCanonicalJSON(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{
			// But for its first number, which no double holds, so that it stays.
			"RFC 8785 section 3.2.2",
			`{
			  "numbers": [333333333.33333329, 1E30, 4.50,
			              2e-3, 0.000000000000000000000000001],
			  "string": "\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/",
			  "literals": [null, true, false]
			}`,
			`{"literals":[null,true,false],"numbers":[333333333.33333329,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`,
		},
		{
			"RFC 8785 section 3.2.3",
			`{
			  "\u20ac": "Euro Sign",
			  "\r": "Carriage Return",
			  "\ufb33": "Hebrew Letter Dalet With Dagesh",
			  "1": "One",
			  "\ud83d\ude00": "Emoji: Grinning Face",
			  "\u0080": "Control",
			  "\u00f6": "Latin Small Letter O With Diaeresis"
			}`,
			`{"\r":"Carriage Return","1":"One","` + "\u0080" + `":"Control","ö":"Latin Small Letter O With Diaeresis",` +
				`"€":"Euro Sign","😀":"Emoji: Grinning Face","` + "\ufb33" + `":"Hebrew Letter Dalet With Dagesh"}`,
		},
		{
			"sorted at every level, keys by what they mean and not by their escapes",
			`{"b":[{"z":1,"":2,"\u0041":3}],"a\"":1,"a#":2,"a\u0021":3,"a\\":4,"a]":5,"a[":6,"a\n":7,"a":8}`,
			`{"a":8,"a\n":7,"a!":3,"a\"":1,"a#":2,"a[":6,"a\\":4,"a]":5,"b":[{"":2,"A":3,"z":1}]}`,
		},
		{"literals", ` true `, `true`},
		{"empty", `[ { } , [ ] , "" ]`, `[{},[],""]`},
		{"escapes", `"\u0000\u0008\u0009\u000a\u000b\u000c\u000d\u001F\u007f\/\u2028<>&"`, `"\u0000\b\t\n\u000b\f\r\u001f` + "\x7f/\u2028" + `<>&"`},
	} {
		got, err := AppendCanonicalJSON([]byte("x"), []byte(c.in))
		if err != nil || string(got) != "x"+c.want {
			t.Errorf("%s:\ngot  %s, %v\nwant x%s", c.name, got, err, c.want)
		}
		if again, err := AppendCanonicalJSON(nil, []byte(c.want)); err != nil || string(again) != c.want {
			t.Errorf("%s: not stable:\ngot  %s, %v\nwant %s", c.name, again, err, c.want)
		}
		if canonicalEnd([]byte(c.want), 0, 1) != len(c.want) {
			t.Errorf("%s: not recognised as canonical: %s", c.name, c.want)
		}
	}
}

// TestCanonicalNumbers: a number → its canonical form.
func TestCanonicalNumbers(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"0", "0"}, {"-0", "0"}, {"-0.0", "0"}, {"0e999999999999999999999", "0"},
		{"1", "1"}, {"-1", "-1"}, {"1.0", "1"}, {"1.50", "1.5"}, {"-0.5", "-0.5"}, {"10e-1", "1"},
		{"1e20", "100000000000000000000"}, {"1e21", "1e+21"}, {"1E+22", "1e+22"},
		{"0.000001", "0.000001"}, {"0.0000001", "1e-7"}, {"0.00000123", "0.00000123"}, {"1e-6", "0.000001"},
		{"999999999999999", "999999999999999"}, {"9007199254740991", "9007199254740991"},
		{"123456789012345.6", "123456789012345.6"}, {"0.1", "0.1"}, {"100", "100"},

		// A double holds another value, so these stay as they were written.
		{"9007199254740993", "9007199254740993"},
		{"9223372036854775807", "9223372036854775807"},
		{"18446744073709551615", "18446744073709551615"},
		{"0.1000000000000000055511151231257827", "0.1000000000000000055511151231257827"},
		{"3.14159265358979323846", "3.14159265358979323846"},
		{"9007199254740993.0", "9007199254740993.0"},
		{"1E400", "1E400"}, {"-1e400", "-1e400"}, {"1e-400", "1e-400"},
		{"1e99999999999999999999999", "1e99999999999999999999999"},
		{"1e-99999999999999999999999", "1e-99999999999999999999999"},
	} {
		got, err := AppendCanonicalJSON(nil, []byte(c.in))
		if err != nil || string(got) != c.want {
			t.Errorf("%s: got %s, %v, want %s", c.in, got, err, c.want)
		}
		if canonicalEnd([]byte(c.want), 0, 1) != len(c.want) {
			t.Errorf("%s is not recognised as canonical", c.want)
		}
		if c.in != c.want && canonicalEnd([]byte(c.in), 0, 1) >= 0 {
			t.Errorf("%s is taken for canonical", c.in)
		}
	}
	for _, in := range []string{"", "-", "01", "-01", "1.", ".1", "1e", "1e+", "+1", "0x1", "1_0", "NaN", "Infinity"} {
		if got, err := AppendCanonicalJSON(nil, []byte(in)); err == nil {
			t.Errorf("%q is accepted as %s", in, got)
		}
	}
}

func TestCanonicalJSONRefuses(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`{"a":1,"b":{"c":2,"c":3},"a":4}`, "b.c: appears more than once; send it once; a: appears more than once; send it once"},
		{`[1,"` + "\xc3" + `"]`, `[1] "\xc3": is not valid UTF-8`},
		{`{} {}`, `is not valid JSON: at byte offset 3 there must be the end of the document, not '{'`},
		{strings.Repeat("[", 65) + strings.Repeat("]", 65), strings.Repeat("[0]", 64) + ": " + tooDeep},
	} {
		got, err := AppendCanonicalJSON([]byte("x"), []byte(c.in))
		var errs Errors
		if !errors.As(err, &errs) || err.Error() != c.want || string(got) != "x" {
			t.Errorf("%s\ngot  %s, %v\nwant %s", c.in, got, err, c.want)
		}
	}
}

// TestRealData canonicalises real audit logs, and looks whether doing so again
// changes nothing and whether the standard library sees the same values.
func TestRealData(t *testing.T) {
	files, err := filepath.Glob("../../shared/data/*.ndjson.gz")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Skip("SKIPPED: the real audit logs (../shared/data/*.ndjson.gz beside the checkout) are not here")
	}
	for _, name := range files {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".ndjson.gz"), func(t *testing.T) {
			t.Parallel()
			lines := 0
			for line := range gzipLines(t, name) {
				lines++
				once, err := AppendCanonicalJSON(nil, line)
				if err != nil {
					t.Fatalf("line %d: %v", lines, err)
				}
				if end := canonicalEnd(once, 0, 1); end != len(once) {
					t.Fatalf("line %d: the canonical form is not recognised as such:\n%s", lines, once)
				}
				r := rewriter{src: once}
				if r.value(0, 1) != len(once) || !bytes.Equal(r.out, once) {
					t.Fatalf("line %d: rewriting the canonical form changes it:\n%s\n%s", lines, once, r.out)
				}
				if lines%20 == 1 && !sameValue(t, line, once) {
					t.Fatalf("line %d: the canonical form has another value:\n%s\n%s", lines, line, once)
				}
			}
			if lines == 0 {
				t.Fatal("no lines")
			}
		})
	}
}

func gzipLines(t *testing.T, name string) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		z, err := gzip.NewReader(f)
		if err != nil {
			t.Fatal(err)
		}
		sc := bufio.NewScanner(z)
		sc.Buffer(nil, 16<<20)
		for sc.Scan() {
			if !yield(sc.Bytes()) {
				return
			}
		}
		if err := sc.Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// sameValue reports whether encoding/json reads the same value from a and b.
func sameValue(t *testing.T, a, b []byte) bool {
	t.Helper()
	var x, y any
	if err := errors.Join(json.Unmarshal(a, &x), json.Unmarshal(b, &y)); err != nil {
		t.Fatal(err)
	}
	return reflect.DeepEqual(x, y)
}
