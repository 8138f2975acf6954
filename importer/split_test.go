package importer

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"
)

// TestSplit says what the records of an input are: each as line:text, a refused
// one with what is wrong before it.
func TestSplit(t *testing.T) {
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"nothing", "", nil},
		{"white space", " \n\t\r\n", nil},
		{"lines", "{\"a\":1}\n{\"a\":2}\n", []string{`1:{"a":1}`, `2:{"a":2}`}},
		{"no newline at the end", `{"a":1}`, []string{`1:{"a":1}`}},
		{"windows", "{\"a\":1}\r\n\r\n{\"a\":2}\r\n", []string{`1:{"a":1}`, `3:{"a":2}`}},
		{"byte order mark", "\xef\xbb\xbf{\"a\":1}", []string{`1:{"a":1}`}},
		{"no newline between", `{"a":1}{"a":2} {"a":3}`, []string{`1:{"a":1}`, `1:{"a":2}`, `1:{"a":3}`}},
		{"pretty-printed", "{\n \"a\": 1\n}\n{\n \"a\": 2\n}\n", []string{"1:{\n \"a\": 1\n}", "4:{\n \"a\": 2\n}"}},
		{"text lines", "type=A\ntype=B\r\n", []string{"1:type=A", "2:type=B"}},
		{"text and JSON", "type=A\n{\"a\":1}\ntype=B", []string{"1:type=A", `2:{"a":1}`, "3:type=B"}},
		{"text in brackets", "[info] started\n{\"a\":1}", []string{"1:[info] started", `2:{"a":1}`}},
		{"array", `[{"a":1},{"a":2}]`, []string{`1:{"a":1}`, `1:{"a":2}`}},
		{"array over lines", "[\n {\"a\":1},\n {\"a\":2}\n]\n{\"a\":3}", []string{`2:{"a":1}`, `3:{"a":2}`, `5:{"a":3}`}},
		{"empty array", "[]\n{\"a\":1}", []string{`2:{"a":1}`}},
		{"scalars in an array", `[{"a":1},7,{"a":2}]`, []string{`1:{"a":1}`, `1: not an object: 7`, `1:{"a":2}`}},
		{"CloudTrail", `{"Records":[{"a":1},{"a":2}]}`, []string{`1:{"a":1}`, `1:{"a":2}`}},
		{"EventList", `{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{"x":["]"]},"items":[{"a":1}]}`, []string{`1:{"a":1}`}},
		{"CloudWatch", `{"messageType":"DATA_MESSAGE","owner":"1","logGroup":"g","logStream":"s","subscriptionFilters":["f"],"logEvents":[{"a":1}]}`, []string{`1:{"a":1}`}},
		{"members after the list", `{"items":[{"a":1}],"cursor":{"next":[1]}}{"a":2}`, []string{`1:{"a":1}`, `1:{"a":2}`}},
		{"containers in a row", "{\"Records\":[{\"a\":1}]}\n{\"Records\":[]}\n{\"Records\":[{\"a\":2}]}", []string{`1:{"a":1}`, `3:{"a":2}`}},
		{"an event is no container", `{"action":"x","items":[{"a":1}]}`, []string{`1:{"action":"x","items":[{"a":1}]}`}},
		{"a list of strings is none", `{"items":["a"]}`, []string{`1:{"items":["a"]}`}},
		{"brackets in strings", `{"a":"}]{[\"}"}`, []string{`1:{"a":"}]{[\"}"}`}},
		{"cut off line", "{\"a\":{\"b\":1\n{\"a\":2}\n", []string{`1: JSON is broken: the input ends inside a value: {"a":{"b":1`, `2:{"a":2}`}},
		{"cut off string", "{\"a\":\"b\n{\"a\":2}\n", []string{`1: JSON is broken: a line ends inside a string: {"a":"b`, `2:{"a":2}`}},
		{"too many brackets", "{\"a\":1}}\n{\"a\":2}", []string{`1:{"a":1}`, `1:}`, `2:{"a":2}`}},
		{"cut off list", `{"Records":[{"a":1},{"a"`, []string{`1:{"a":1}`, `1: JSON is broken: the input ends inside a value: {"a"`}},
		{"list without an end", `{"Records":[{"a":1}`, []string{`1:{"a":1}`}},
		{"too deep", strings.Repeat(`{"a":`, maxDepth+1) + "\n{\"a\":2}", []string{"1: JSON nests deeper than 512: " + strings.Repeat(`{"a":`, maxDepth+1), `2:{"a":2}`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(c.in), iotest.OneByteReader(strings.NewReader(c.in))} {
				var got []string
				for s := newSplitter(r); ; {
					p, ok := s.next()
					if !ok {
						break
					}
					if p.err != nil {
						got = append(got, fmt.Sprintf("%d: %v: %s", p.line, p.err, p.raw))
					} else {
						got = append(got, fmt.Sprintf("%d:%s", p.line, p.raw))
					}
				}
				if strings.Join(got, "\n") != strings.Join(c.want, "\n") {
					t.Errorf("got\n\t%q\nwant\n\t%q", got, c.want)
				}
			}
		})
	}
}

// TestSplitTooLong reads records above the limit: they are refused and shown in
// part, and their neighbours are found.
func TestSplitTooLong(t *testing.T) {
	huge := `{"a":"` + strings.Repeat("x", MaxRecord) + `"}`
	for _, in := range []string{
		"{\"b\":1}\n" + huge + "\n{\"b\":2}\n",
		`{"Records":[{"b":1},` + huge + `,{"b":2}]}`,
		"{\"b\":1}\n" + strings.Repeat("x", MaxRecord+1) + "\n{\"b\":2}\n",
	} {
		s := newSplitter(strings.NewReader(in))
		var good []string
		bad := 0
		for {
			p, ok := s.next()
			if !ok {
				break
			}
			if p.err != nil {
				bad++
				if p.err.Error() != tooLong || len(p.raw) != maxShown {
					t.Errorf("%v with %d bytes; want %s with %d", p.err, len(p.raw), tooLong, maxShown)
				}
				continue
			}
			good = append(good, string(p.raw))
		}
		if bad != 1 || strings.Join(good, "") != `{"b":1}{"b":2}` {
			t.Errorf("%.20s…: refused %d, found %.40q", in, bad, good)
		}
		if limit := 3 * MaxRecord; cap(s.buf) > limit {
			t.Errorf("%.20s…: the buffer grew to %d bytes; want at most %d", in, cap(s.buf), limit)
		}
	}
}

const oneEvent = `{"user_id":"ada","action":"a.b","resource":"c/1"}` + "\n"

func compressed(t *testing.T, w io.WriteCloser, b *bytes.Buffer, text string) []byte {
	t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t *testing.T, text string) []byte {
	var b bytes.Buffer
	return compressed(t, gzip.NewWriter(&b), &b, text)
}

func TestCompressed(t *testing.T) {
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	two := strings.Repeat(oneEvent, 2)
	for name, data := range map[string][]byte{
		"plain":        []byte(two),
		"gzip":         gzipped(t, two),
		"gzip members": append(gzipped(t, oneEvent), gzipped(t, oneEvent)...),
		"zstd":         compressed(t, z, &b, two),
	} {
		items := importAll(t, Auto, name, data)
		if len(items) != 2 || items[0].Err != nil || items[1].Err != nil {
			t.Errorf("%s: %+v", name, items)
		}
	}
}

// TestReadError ends the input early: what came before is imported, and the last
// item tells of the error.
func TestReadError(t *testing.T) {
	whole := gzipped(t, strings.Repeat(oneEvent, 3)+strings.Repeat("x", 1000))
	items := importAll(t, Auto, "cut.gz", whole[:len(whole)-8])
	if len(items) != 4 {
		t.Fatalf("got %d items, want 3 events and an error", len(items))
	}
	if err := items[3].Err; !errors.Is(err, io.ErrUnexpectedEOF) || Reason(err) != ReasonRead {
		t.Errorf("got %v (%s)", err, Reason(err))
	}
	for _, data := range [][]byte{{0x1f, 0x8b, 0, 0}, {0x28, 0xb5, 0x2f, 0xfd, 0xff}} {
		items := importAll(t, Auto, "bad", data)
		if len(items) != 1 || Reason(items[0].Err) != ReasonRead {
			t.Errorf("% x: %+v", data, items)
		}
	}
}
