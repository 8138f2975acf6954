package event

import (
	"bytes"
	"flag"
	"os"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// TestGolden holds the canonical bytes of the events in testdata/events.ndjson
// against testdata/events.golden. These bytes are hashed: where this test fails,
// what was stored before can no longer be verified.
func TestGolden(t *testing.T) {
	in, err := os.ReadFile("testdata/events.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	var d Decoder
	var got []byte
	for line := range bytes.Lines(in) {
		var e Event
		if err := d.Decode(line, &e); err != nil {
			t.Fatalf("%s%v", line, err)
		}
		got = append(AppendCanonical(got, &e), '\n')
	}
	if *update {
		if err := os.WriteFile("testdata/events.golden", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("testdata/events.golden")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// full is an event with every field.
func full(t *testing.T) *Event {
	t.Helper()
	in, err := os.ReadFile("testdata/events.ndjson")
	if err != nil {
		t.Fatal(err)
	}
	line, _, _ := bytes.Cut(in, []byte("\n"))
	var d Decoder
	e := new(Event)
	if err := d.Decode(line, e); err != nil {
		t.Fatal(err)
	}
	e.ReceivedAt, e.Partition, e.Offset = 1_764_000_000_000_000_001, 3, 1<<40
	return e
}

func TestAppendJSONWritesFieldTableOrder(t *testing.T) {
	e := full(t)
	got := string(AppendJSON(nil, e, AllFields))
	var keys []string
	EachMember(got, func(key, _ string) bool { keys = append(keys, key); return true })
	var want []string
	for f := range NumFields {
		want = append(want, f.String())
	}
	if !slices.Equal(keys, want) {
		t.Errorf("got  %s\nwant %s", keys, want)
	}
	const set = `,"received_at":"2025-11-24T16:00:00.000000001Z","partition":3,"offset":1099511627776}`
	if !strings.HasSuffix(got, set) {
		t.Errorf("got %s\nwant it to end in %s", got, set)
	}

	// Daybook takes in again what it gave out, with the same canonical bytes.
	d := Decoder{AllowSet: true}
	var back Event
	if err := d.Decode([]byte(got), &back); err != nil {
		t.Fatal(err)
	}
	if a, b := AppendCanonical(nil, e), AppendCanonical(nil, &back); !bytes.Equal(a, b) {
		t.Errorf("%s\nbecame %s", a, b)
	}
}

func TestAppendJSONWritesTheSetOnly(t *testing.T) {
	e := &Event{UserID: "u", Timestamp: NoTime, ReceivedAt: NoTime, Offset: 7}
	for _, c := range []struct {
		set  FieldSet
		want string
	}{
		{0, `{}`},
		{Fields(Reason), `{}`},
		{Fields(UserID, Reason), `{"user_id":"u"}`},
		{Fields(Offset), `{"offset":7}`},
		{AllFields, `{"user_id":"u","partition":0,"offset":7}`},
	} {
		if got := string(AppendJSON([]byte("x"), e, c.set)); got != "x"+c.want {
			t.Errorf("got %s, want x%s", got, c.want)
		}
	}
}

// TestFieldTable checks what other code takes for granted of the table.
func TestFieldTable(t *testing.T) {
	for f := range NumFields {
		info := f.Info()
		if len(info.Name) < minName || len(info.Name) > maxName {
			t.Errorf("%s: the decoder wants names of %d to %d bytes", info.Name, minName, maxName)
		}
		if got, ok := fieldNamed([]byte(info.Name)); !ok || got != f {
			t.Errorf("%s is looked up as %v, %t", info.Name, got, ok)
		}
		if got, ok := FieldByName(info.Name); !ok || got != f {
			t.Errorf("%s is found as %v, %t", info.Name, got, ok)
		}
		var e Event
		e.SetText(f, "x")
		if got := e.Text(f); (got == "x") != f.IsText() {
			t.Errorf("%s: IsText is %t, but the text set comes back as %q", info.Name, f.IsText(), got)
		}
		if info.Default != "" && info.Values != nil && !slices.Contains(info.Values, info.Default) {
			t.Errorf("%s: the default %q is not accepted", info.Name, info.Default)
		}
	}
	for _, name := range []string{"", "user", "user_ix", "correlation_id_", strings.Repeat("x", 1000)} {
		if f, ok := fieldNamed([]byte(name)); ok {
			t.Errorf("%q is looked up as %v", name, f)
		}
	}
}
