package ingest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/daybook-log/daybook/event"
)

// cut returns the items of a body as the handler sees them: "line:text" each,
// "line:!text" where the text is no JSON object, "line:large" for one that is
// too large; and "error: …" last, where the body cannot be cut to its end.
func cut(r io.Reader, ndjson bool) []string {
	var s splitter
	s.reset(r, ndjson)
	var got []string
	for {
		it, err := s.next()
		if err == io.EOF {
			return got
		} else if err != nil {
			return append(got, "error: "+err.Error())
		}
		isObject := func(b []byte) bool { return json.Valid(b) && b[0] == '{' }
		if !it.tooLarge && !isObject(it.data) {
			it, _ = s.extend(it)
		}
		switch {
		case it.tooLarge:
			got = append(got, fmt.Sprintf("%d:large", it.line))
		case isObject(it.data):
			got = append(got, fmt.Sprintf("%d:%s", it.line, it.data))
		default:
			got = append(got, fmt.Sprintf("%d:!%s", it.line, it.data))
		}
	}
}

func TestSplit(t *testing.T) {
	large := `{"a":"` + strings.Repeat("x", event.MaxSize) + `"}`
	prettyLarge := "{\n \"a\": [\n" + strings.Repeat("  {\"b\": 1},\n", event.MaxSize/10) + "  {}]\n}"
	tests := []struct {
		name, body string
		want       []string
	}{
		{"one object", `{"a":1}`, []string{`1:{"a":1}`}},
		{"one object and a line end", "{\"a\":1}\n", []string{`1:{"a":1}`}},
		{"NDJSON", "{\"a\":1}\n{\"a\":2}\n{\"a\":3}", []string{`1:{"a":1}`, `2:{"a":2}`, `3:{"a":3}`}},
		{"CRLF, blank lines, indentation", "\r\n{\"a\":1}\r\n\r\n \t\n  {\"a\":2}  \r\n", []string{`2:{"a":1}`, `5:{"a":2}`}},
		{"byte order mark", "\ufeff{\"a\":1}\n{\"a\":2}", []string{`1:{"a":1}`, `2:{"a":2}`}},
		{"pretty object", "{\n  \"a\": {\"b\": 1},\n  \"c\": [\n    {\n      \"d\": \"}\"\n    }\n  ]\n}\n",
			[]string{"1:{\n  \"a\": {\"b\": 1},\n  \"c\": [\n    {\n      \"d\": \"}\"\n    }\n  ]\n}"}},
		{"pretty objects one after the other", "{\n \"a\": 1\n}\n{\n \"a\": 2\n} {\n\"a\": 3}", []string{"1:{\n \"a\": 1\n}", "4:{\n \"a\": 2\n}", "6:{\n\"a\": 3}"}},
		{"first line looks whole and is not", "{\"a\":{\"b\":1}\n,\"c\":2}\n{\"d\":3}", []string{"1:{\"a\":{\"b\":1}\n,\"c\":2}", `3:{"d":3}`}},
		{"without indentation", "{\n\"a\":[\n{\n\"b\":1\n}\n]\n}\n{\"c\":1}", []string{"1:{\n\"a\":[\n{\n\"b\":1\n}\n]\n}", `8:{"c":1}`}},
		{"two objects in a line", `{"a":1}{"a":2} {"a":3}` + "\n" + `{"a":4}`, []string{`1:{"a":1}`, `1:{"a":2}`, `1:{"a":3}`, `2:{"a":4}`}},

		{"a line that is not JSON", "{\"a\":1}\n{\"a\":oops no}\n{\"a\":3}", []string{`1:{"a":1}`, `2:!{"a":oops no}`, `3:{"a":3}`}},
		{"lines that are no objects", "{\"a\":1}\ngarbage\n[1]\n17\n{\"a\":3}", []string{`1:{"a":1}`, `2:!garbage`, `3:![1]`, `4:!17`, `5:{"a":3}`}},
		{"text after the object", "{\"a\":1},\n{\"a\":2},\n{\"a\":3}", []string{`1:!{"a":1},`, `2:!{"a":2},`, `3:{"a":3}`}},
		{"a line cut off after a value", "{\"a\":{\"b\":1}\n{\"a\":2}\n{\"a\":3}", []string{`1:!{"a":{"b":1}`, `2:{"a":2}`, `3:{"a":3}`}},
		{"a line cut off in a string", "{\"a\":\"x\n{\"a\":2}\n{\"a\":3}", []string{`1:!{"a":"x`, `2:{"a":2}`, `3:{"a":3}`}},
		{"a line cut off after a comma", "{\"a\":1,\n{\"a\":2}\n{\"a\":3}", []string{`1:!{"a":1,`, `2:{"a":2}`, `3:{"a":3}`}},
		{"a line cut off after a colon", "{\"a\":\n{\"a\":2}\n{\"a\":3}", []string{`1:!{"a":`, `2:{"a":2}`, `3:{"a":3}`}},
		{"a line cut off in an array", "{\"a\":[\n{\"a\":2}\n{\"a\":3}", []string{`1:!{"a":[`, `2:{"a":2}`, `3:{"a":3}`}},
		{"only an opening brace", "{\n{\"a\":2}", []string{`1:!{`, `2:{"a":2}`}},
		{"a pretty object that is not JSON is one", "{\n  \"a\": oops no,\n  \"b\": [\n    {}\n  ]\n}\n{\"a\":2}",
			[]string{"1:!{\n  \"a\": oops no,\n  \"b\": [\n    {}\n  ]\n}", `7:{"a":2}`}},
		{"a pretty object that ends early is one", "{\n  \"a\": 1,\n  \"b\": {\n", []string{"1:!{\n  \"a\": 1,\n  \"b\": {"}},
		{"the last line is cut off", "{\"a\":1}\n{\"a\":", []string{`1:{"a":1}`, `2:!{"a":`}},
		{"NUL bytes", "{\"a\":1}\n\x00\x00\n{\"a\":\"\x00\"}\n{\"a\":2}", []string{`1:{"a":1}`, "2:!\x00\x00", "3:!{\"a\":\"\x00\"}", `4:{"a":2}`}},
		{"a line that is too large", large + "\n" + `{"a":2}`, []string{`1:large`, `2:{"a":2}`}},
		{"a pretty object that is too large", prettyLarge + "\n{\"a\":2}", []string{`1:large`, fmt.Sprintf("%d:{\"a\":2}", strings.Count(prettyLarge, "\n")+2)}},
		{"garbage that is too large", strings.Repeat("x", 3*event.MaxSize) + "\n{\"a\":2}", []string{`error: the body begins with 'x'; send a JSON object, an array of objects, or one object a line (NDJSON)`}},
		{"garbage in the midst that is too large", "{\"a\":1}\n" + strings.Repeat("x", 6*event.MaxSize) + "\n{\"a\":2}", []string{`1:{"a":1}`, `2:large`, `3:{"a":2}`}},
		{"small objects in a line larger than an event", strings.Repeat(`{"a":1}`, event.MaxSize/4),
			slices.Repeat([]string{`1:{"a":1}`}, event.MaxSize/4)},

		{"empty array", `[]`, nil},
		{"empty array with blanks", " [ \n ] \n", nil},
		{"array", `[{"a":1},{"a":"]},{"}]`, []string{`0:{"a":1}`, `0:{"a":"]},{"}`}},
		{"pretty array", "[\n  {\n    \"a\": 1\n  },\n  {\"a\": 2}\n]\n", []string{"0:{\n    \"a\": 1\n  }", `0:{"a": 2}`}},
		{"elements that are no objects", `[1, "x\"]", null ,[{}],{"a":1}]`, []string{`0:!1`, `0:!"x\"]"`, `0:!null`, `0:![{}]`, `0:{"a":1}`}},
		{"an element that is not JSON", `[{"a":1},{oops no},{"a":3}]`, []string{`0:{"a":1}`, `0:!{oops no}`, `0:{"a":3}`}},
		{"an element that is too large", `[` + large + `,{"a":2}]`, []string{`0:large`, `0:{"a":2}`}},
		{"a huge element", `[{"a":[` + strings.Repeat("1,", 5*event.MaxSize) + `1]},{"a":2}]`, []string{`0:large`, `0:{"a":2}`}},
		{"array not closed", `[{"a":1}`, []string{`0:{"a":1}`, "error: the array is not closed: the body ends before ]"}},
		{"array ends after a comma", `[{"a":1},`, []string{`0:{"a":1}`, "error: the array is not closed: the body ends after a comma"}},
		{"array ends in an element", `[{"a":1},{"a`, []string{`0:{"a":1}`, "error: the array is not closed: the body ends inside an element"}},
		{"element missing", `[{"a":1},,{"a":2}]`, []string{`0:{"a":1}`, `error: an element of the array is missing before ','`}},
		{"comma before the end", `[{"a":1},]`, []string{`0:{"a":1}`, `error: an element of the array is missing before ']'`}},
		{"comma missing", `[{"a":1} {"a":2}]`, []string{`0:{"a":1}`, `error: '{' follows an element of the array; a comma or ] must`}},
		{"text after the array", `[{"a":1}] x`, []string{`0:{"a":1}`, `error: 'x' follows the end of the array`}},

		{"empty", "", []string{"error: the body is empty; send a JSON object, an array of objects, or one object a line (NDJSON)"}},
		{"blank", " \n\r\n\t", []string{"error: the body is empty; send a JSON object, an array of objects, or one object a line (NDJSON)"}},
		{"not JSON", "user=alice", []string{`error: the body begins with 'u'; send a JSON object, an array of objects, or one object a line (NDJSON)`}},
	}
	readers := map[string]func(io.Reader) io.Reader{
		"whole":       func(r io.Reader) io.Reader { return r },
		"byte":        iotest.OneByteReader,
		"with EOF":    iotest.DataErrReader,
		"half a read": iotest.HalfReader,
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for name, reader := range readers {
				if name == "byte" && len(tt.body) > event.MaxSize {
					continue // would look at the same bytes over and over
				}
				if got := cut(reader(strings.NewReader(tt.body)), false); !slices.Equal(got, tt.want) {
					t.Errorf("reading %s\n got %s\nwant %s", name, brief(got), brief(tt.want))
				}
			}
		})
	}
}

func brief(items []string) string { return shortenTo(fmt.Sprintf("%q", items), 2000) }

func shortenTo(s string, n int) string {
	if len(s) > n {
		return s[:n] + "…"
	}
	return s
}

func TestSplitNDJSONFirstLineMayBeAnything(t *testing.T) {
	got := cut(strings.NewReader("garbage\n{\"a\":2}"), true)
	if want := []string{"1:!garbage", `2:{"a":2}`}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestSplitBufferGrowsWithTheBody: small bodies are read in little memory.
func TestSplitBufferGrowsWithTheBody(t *testing.T) {
	line := `{"a":"` + strings.Repeat("x", 400) + "\"}\n"
	for _, tt := range []struct{ lines, buffer int }{{1, firstBuffer}, {10, firstBuffer}, {1000, splitBuffer}} {
		var s splitter
		s.reset(strings.NewReader(strings.Repeat(line, tt.lines)), true)
		n := 0
		for it, err := s.next(); err == nil; it, err = s.next() {
			if string(it.data)+"\n" != line {
				t.Fatalf("item %d is %q", n, it.data)
			}
			n++
		}
		if n != tt.lines || len(s.buf) != tt.buffer {
			t.Errorf("%d of %d lines, in a buffer of %d bytes; want %d", n, tt.lines, len(s.buf), tt.buffer)
		}
	}
}

func TestSplitReadError(t *testing.T) {
	broken := errors.New("connection lost")
	for _, body := range []string{"", "{\"a\":1}\n{\"a\":2}\n{\"a\":", "[{\"a\":1},{\"a\":2},{\"a\":3}", "{\"a\":1}\n{\"a\":2}\n"} {
		got := cut(io.MultiReader(strings.NewReader(body), iotest.ErrReader(broken)), false)
		if len(got) == 0 || got[len(got)-1] != "error: connection lost" {
			t.Errorf("%q: got %q, want the reader's error last", body, got)
		}
	}
}

// FuzzSplit checks that a body of valid lines is cut exactly, that whatever
// stands between two of them does not cost the second, and that how the body
// is read in pieces makes no difference.
func FuzzSplit(f *testing.F) {
	for _, s := range []string{"", "\"00\",", "{", "{\"a\":", "[", "[1,", "{\"a\":\"\n", "{}\n{}", "{\n\"a\":[\n{\"b\":{}\n}]}", "\xff", "\\", "{\"a\":[1,2\n,3]}", "{}{}{"} {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, junk string, ndjson bool) {
		whole := cut(strings.NewReader(junk), ndjson)
		if got := cut(iotest.OneByteReader(strings.NewReader(junk)), ndjson); !slices.Equal(got, whole) {
			t.Errorf("read in bytes %q, read whole %q", got, whole)
		}
		body := `{"first":1}` + "\n" + junk + "\n" + `{"second":2}` + "\n" + `{"third":3}` + "\n"
		got := cut(strings.NewReader(body), ndjson)
		n := len(got)
		if n < 3 || got[0] != `1:{"first":1}` || !strings.HasSuffix(got[n-2], `:{"second":2}`) || !strings.HasSuffix(got[n-1], `:{"third":3}`) {
			t.Errorf("neighbours of %q lost: %q", junk, got)
		}
	})
}

// FuzzScanObject checks the scanner against encoding/json.
func FuzzScanObject(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":[1,{"b":null}]} x`, `{"a"`, `{"a":1,}`, `{"\u12":1}`, `{"a":"\`, `{]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) == 0 || data[0] != '{' {
			return
		}
		n, st := scanObject(data)
		if n < 0 || n > len(data) {
			t.Fatalf("n = %d of %d", n, len(data))
		}
		var raw json.RawMessage
		dec := json.NewDecoder(bytes.NewReader(data))
		if err := dec.Decode(&raw); err == nil && strings.Count(string(data), "{")+strings.Count(string(data), "[") < maxNesting {
			if st != closed || int64(n) != dec.InputOffset() {
				t.Errorf("%q: got %d %v, want %d closed", data, n, st, dec.InputOffset())
			}
		}
	})
}
