package event

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

// minimal is the least that an event must hold, without its closing brace.
const minimal = `{"user_id":"u","action":"a","resource":"r"`

// canonicalOf returns the canonical form of an event that must be accepted.
func canonicalOf(t *testing.T, in string) string {
	t.Helper()
	var d Decoder
	var e Event
	if err := d.Decode([]byte(in), &e); err != nil {
		t.Fatalf("%s\nrefused: %v", in, err)
	}
	return string(AppendCanonical(nil, &e))
}

func TestDecodeFillsInDefaults(t *testing.T) {
	const want = `{"action":"a","operation":"other","outcome":"unknown","resource":"r","tenant_id":"default","user_id":"u","user_type":"user"}`
	if got := canonicalOf(t, minimal+"}"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	var d Decoder
	var e Event
	if err := d.Decode([]byte(minimal+"}"), &e); err != nil || !e.ID.IsZero() || e.Timestamp != NoTime {
		t.Errorf("ID %v, timestamp %d, error %v; want both unassigned", e.ID, e.Timestamp, err)
	}
	now := time.Unix(1_764_000_000, 5)
	e.Complete(new(IDSource), now)
	if e.Timestamp != now.UnixNano() || e.ID.Version() != 7 {
		t.Errorf("Complete gave %d, %v", e.Timestamp, e.ID)
	}
	id := e.ID
	e.Complete(new(IDSource), now.Add(time.Hour))
	if e.ID != id || e.Timestamp != now.UnixNano() {
		t.Error("Complete changed what was assigned")
	}
}

// TestDecodeAccepts: a member added to a minimal event → the same member as it
// stands in the canonical form; "" when it is absent there.
func TestDecodeAccepts(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{`"event_id":"0198C0DE-7A51-7000-8000-0000000000AA"`, `"event_id":"0198c0de-7a51-7000-8000-0000000000aa"`},
		{`"event_id":"f47ac10b-58cc-4372-a567-0e02b2c3d479"`, `"event_id":"f47ac10b-58cc-4372-a567-0e02b2c3d479"`},
		{`"event_id":null`, ``},
		{`"event_id":""`, ``},

		{`"timestamp":"2026-11-24T02:10:37Z"`, `"timestamp":"2026-11-24T02:10:37Z"`},
		{`"timestamp":"2026-11-24t02:10:37.500z"`, `"timestamp":"2026-11-24T02:10:37.5Z"`},
		{`"timestamp":"2026-11-24T02:10:37.000000001+05:30"`, `"timestamp":"2026-11-23T20:40:37.000000001Z"`},
		{`"timestamp":1764000000123`, `"timestamp":"2025-11-24T16:00:00.123Z"`},
		{`"timestamp":1764000000123456`, `"timestamp":"2025-11-24T16:00:00.123456Z"`},
		{`"timestamp":1764000000123456789`, `"timestamp":"2025-11-24T16:00:00.123456789Z"`},
		{`"timestamp":1.764e12`, `"timestamp":"2025-11-24T16:00:00Z"`},
		{`"timestamp":1764000000000.0`, `"timestamp":"2025-11-24T16:00:00Z"`},
		{`"timestamp":-100000000000`, `"timestamp":"1966-10-31T14:13:20Z"`},
		{`"timestamp":null`, ``},

		{`"source_ip":"192.0.2.1"`, `"source_ip":"192.0.2.1"`},
		{`"source_ip":"2001:DB8:0:0:0:0:0:1"`, `"source_ip":"2001:db8::1"`},
		{`"source_ip":"::ffff:c000:201"`, `"source_ip":"::ffff:192.0.2.1"`},
		{`"source_ip":"fe80::1%eth0"`, `"source_ip":"fe80::1%eth0"`},

		{`"outcome":"denied"`, `"outcome":"denied"`},
		{`"operation":"login"`, `"operation":"login"`},
		{`"user_type":"agent"`, `"user_type":"agent"`},
		{`"outcome":""`, `"outcome":"unknown"`},
		{`"tenant_id":null`, `"tenant_id":"default"`},

		{`"user_name":"Zoë 張 😀"`, `"user_name":"Zoë 張 😀"`},
		{`"user_name":"Zo\u00eb \u5f35 \ud83d\ude00"`, `"user_name":"Zoë 張 😀"`},
		{`"user_name":"a\/b\u0022\n\u0000\u007f"`, `"user_name":"a/b\"\n\u0000` + "\x7f" + `"`},
		{`"user_n\u0061me":"x"`, `"user_name":"x"`},
		{`"user_name":null`, ``},
		{`"user_name":""`, ``},
		{`"user_name":{}`, ``},
		{`"user_name":[ ]`, ``},
		{`"user_name":"` + strings.Repeat("é", 128) + `"`, `"user_name":"` + strings.Repeat("é", 128) + `"`},

		{`"labels":{"team":"x","env":"prod"}`, `"labels":{"env":"prod","team":"x"}`},
		{`"labels":{"a":""}`, `"labels":{"a":""}`},
		{`"labels":{}`, ``},
		{`"labels":[]`, ``},

		{`"changes":[{"new":2,"path":"p","old":null},{"path":"q"}]`, `"changes":[{"new":2,"old":null,"path":"p"},{"path":"q"}]`},
		{`"changes":[]`, ``},

		{`"metadata":{ "b" : [ ] , "a" : { } , "c" : null }`, `"metadata":{"a":{},"b":[],"c":null}`},
		{`"metadata":{"id":9007199254740993,"x":1.10,"y":1E400,"z":-0}`, `"metadata":{"id":9007199254740993,"x":1.1,"y":1E400,"z":0}`},
		{`"metadata":{ }`, ``},
		{`"metadata":null`, ``},
		{`"metadata":` + nested(MaxDepth-1), `"metadata":` + nested(MaxDepth-1)},
	} {
		got := canonicalOf(t, minimal+","+c.in+"}")
		if c.want == "" {
			if name, _, _ := strings.Cut(c.in, ":"); strings.Contains(got, name) {
				t.Errorf("%s\ngot %s\nwant it absent", c.in, got)
			}
		} else if !strings.Contains(got, c.want+",") && !strings.HasSuffix(got, c.want+"}") {
			t.Errorf("%s\ngot  %s\nwant %s", c.in, got, c.want)
		}
		if again := canonicalOf(t, got); again != got {
			t.Errorf("canonical form is not stable:\n%s\n%s", got, again)
		}
	}
}

// nested returns an object that is depth levels deep.
func nested(depth int) string {
	return strings.Repeat(`{"a":`, depth-1) + "{}" + strings.Repeat("}", depth-1)
}

// TestDecodeRefuses: a member added to a minimal event → the one error it gets,
// as it prints.
func TestDecodeRefuses(t *testing.T) {
	long := strings.Repeat("é", 129)
	for _, c := range []struct{ in, want string }{
		// Fields.
		{`"userid":"x"`, `userid "x": is no field of an event; did you mean user_id?`},
		{`"userName":5`, `userName 5: is no field of an event; did you mean user_name?`},
		{`"sourceip":"x"`, `sourceip "x": is no field of an event; did you mean source_ip?`},
		{`"lables":{"a":"b"}`, `lables {"a":"b"}: is no field of an event; did you mean labels?`},
		{`"a\nb":1`, `"a\nb" 1: is no field of an event; put what has no field of its own into metadata`},
		{`"color":null`, `color null: is no field of an event; put what has no field of its own into metadata`},
		{`"":1`, `"" 1: is no field of an event; put what has no field of its own into metadata`},
		{`"offset":5`, `offset 5: is set by Daybook; leave it out`},
		{`"received_at":"2026-11-24T02:10:37Z"`, `received_at "2026-11-24T02:10:37Z": is set by Daybook; leave it out`},
		{`"partition":null`, `partition null: is set by Daybook; leave it out`},
		{`"reason":"x","reason":"x"`, `reason: appears more than once; send it once`},
		{`"reason":"x","re\u0061son":""`, `reason: appears more than once; send it once`},

		// Text.
		{`"user_name":5`, `user_name 5: must be a string`},
		{`"user_name":["x"]`, `user_name ["x"]: must be a string`},
		{`"user_name":"` + long + `"`, `user_name "` + long[:64] + `"…: is 258 bytes long; at most 256 are accepted`},
		{`"user_name":"a` + long + `"`, `user_name "a` + long[:62] + `"…: is 259 bytes long; at most 256 are accepted`},
		{`"user_name":"` + "a\xffb" + `"`, `user_name "a\xffb": is not valid UTF-8`},
		{`"user_name":"` + "\xed\xa0\x80" + `"`, `user_name "\xed\xa0\x80": is not valid UTF-8`},
		{`"user_name":"` + "a\x00b\n" + `"`, `user_name "a\x00b\n": holds a raw control character; write it as an escape such as \n or \u0000`},
		{`"user_name":"\ud83d"`, `user_name "\\ud83d": holds half of a surrogate pair, which is no character; write both halves, or the character itself`},
		{`"user_name":"\ude00\ud83d"`, `user_name "\\ude00\\ud83d": holds half of a surrogate pair, which is no character; write both halves, or the character itself`},
		{`"outcome":"ok"`, `outcome "ok": must be success, failure, denied or unknown`},
		{`"outcome":"Success"`, `outcome "Success": must be success, failure, denied or unknown`},
		{`"operation":true`, `operation true: must be a string`},
		{`"source_ip":"10.0.0.0/8"`, `source_ip "10.0.0.0/8": must be an IP address such as 192.0.2.1 or 2001:db8::1, without a port or a network mask`},
		{`"source_ip":"fe80::1%` + strings.Repeat("z", 60) + `"`, `source_ip "fe80::1%` + strings.Repeat("z", 56) + `"…: is 68 bytes long; at most 64 are accepted`},
		{`"source_ip":"::ffff:0:0%` + strings.Repeat("z", 53) + `"`, `source_ip "::ffff:0.0.0.0%` + strings.Repeat("z", 49) + `"…: is 68 bytes long; at most 64 are accepted`},

		// Identity and time.
		{`"event_id":"42"`, `event_id "42": ` + reasonID},
		{`"event_id":"00000000-0000-0000-0000-000000000000"`, `event_id "00000000-0000-0000-0000-000000000000": ` + reasonID},
		{`"event_id":42`, `event_id 42: ` + reasonID},
		{`"timestamp":"yesterday"`, `timestamp "yesterday": ` + reasonTime},
		{`"timestamp":"2026-02-29T00:00:00Z"`, `timestamp "2026-02-29T00:00:00Z": ` + reasonTime},
		{`"timestamp":"2026-11-24T02:10:37"`, `timestamp "2026-11-24T02:10:37": ` + reasonNoOffset},
		{`"timestamp":"2026-11-24T02:10:37.1234567890Z"`, `timestamp "2026-11-24T02:10:37.1234567890Z": ` + reasonFraction},
		{`"timestamp":"2016-12-31T23:59:60Z"`, `timestamp "2016-12-31T23:59:60Z": ` + reasonLeap},
		{`"timestamp":"1600-01-01T00:00:00Z"`, `timestamp "1600-01-01T00:00:00Z": ` + reasonTimeRange},
		{`"timestamp":1764000000`, `timestamp 1764000000: ` + reasonSeconds},
		{`"timestamp":0`, `timestamp 0: ` + reasonSeconds},
		{`"timestamp":1764000000000.5`, `timestamp 1764000000000.5: ` + reasonEpoch},
		{`"timestamp":10000000000000`, `timestamp 10000000000000: ` + reasonTimeRange},
		{`"timestamp":92233720368547758070`, `timestamp 92233720368547758070: ` + reasonTimeRange},
		{`"timestamp":"1764000000123"`, `timestamp "1764000000123": ` + reasonTime},
		{`"timestamp":true`, `timestamp true: ` + reasonTime},

		// Labels.
		{`"labels":["a"]`, `labels ["a"]: must be a JSON object`},
		{`"labels":{"a":1}`, `labels.a 1: must be a string`},
		{`"labels":{"a":null}`, `labels.a null: must be a string`},
		{`"labels":{"":"x"}`, `labels "": has a key of 0 bytes; 1 to 128 are accepted`},
		{`"labels":{"` + long + `":"x"}`, `labels "` + long[:64] + `"…: has a key of 258 bytes; 1 to 128 are accepted`},
		{`"labels":{"a":"` + strings.Repeat("x", 1025) + `"}`, `labels.a "` + strings.Repeat("x", 64) + `"…: is 1025 bytes long; at most 1024 are accepted`},
		{`"labels":` + manyLabels(33), `labels: holds 33 labels; at most 32 are accepted`},
		{`"labels":{"a":"x","a":"y"}`, `labels.a: appears more than once; send it once`},

		// Changes.
		{`"changes":{"path":"p"}`, `changes {"path":"p"}: must be an array of objects such as {"path":"email","old":1,"new":2}`},
		{`"changes":[5]`, `changes[0] 5: must be an object of path, old and new`},
		{`"changes":[{"path":"p"},{"old":1}]`, `changes[1].path: is required: what was changed`},
		{`"changes":[{"path":""}]`, `changes[0].path "": must be a string that is not empty`},
		{`"changes":[{"path":"p","was":1}]`, `changes[0].was 1: is not accepted here: a change has path, old and new`},
		{`"changes":[` + strings.Repeat(`{"path":"p"},`, 1024) + `{"path":"p"}]`, `changes: holds 1025 changes; at most 1024 are accepted`},

		// Metadata.
		{`"metadata":"x"`, `metadata "x": must be a JSON object`},
		{`"metadata":{"b":1,"a":{"x":[0,{"k":1,"k":2,"k":3}]}}`, `metadata.a.x[1].k: appears more than once; send it once`},
		{`"metadata":{"a":{"b":["` + "\xff" + `"]}}`, `metadata.a.b[0] "\xff": is not valid UTF-8`},
		{`"metadata":{"a":{"\udc00":1}}`, `metadata.a "\\udc00": holds half of a surrogate pair, which is no character; write both halves, or the character itself`},
		{`"metadata":` + nested(MaxDepth), `metadata` + strings.Repeat(".a", 63) + `: ` + tooDeep},
		{`"metadata":{"a":` + strings.Repeat("[", 20000), `metadata.a` + strings.Repeat("[0]", 62) + `: ` + tooDeep},
	} {
		wantErrors(t, minimal+","+c.in+"}", c.want)
	}
}

const tooDeep = "is nested too deeply; at most 64 levels of objects and arrays are accepted"

func manyLabels(n int) string {
	var pairs []string
	for i := range n {
		pairs = append(pairs, fmt.Sprintf(`"k%d":"v"`, i))
	}
	return "{" + strings.Join(pairs, ",") + "}"
}

// wantErrors checks that in is refused with exactly the given errors.
func wantErrors(t *testing.T, in string, want ...string) {
	t.Helper()
	var d Decoder
	var e Event
	err := d.Decode([]byte(in), &e)
	var errs Errors
	if !errors.As(err, &errs) {
		t.Errorf("%.200s\ngot error %v, want Errors", in, err)
		return
	}
	var got []string
	for _, e := range errs {
		got = append(got, e.Error())
	}
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("%.200s\ngot  %s\nwant %s", in, g, w)
	}
}

func TestDecodeReportsEverythingAtOnce(t *testing.T) {
	wantErrors(t, `{"userid":"x","action":"","outcome":"maybe","timestamp":"now","labels":{"a":1,"b":2},"offset":1,"resource":5}`,
		`userid "x": is no field of an event; did you mean user_id?`,
		`outcome "maybe": must be success, failure, denied or unknown`,
		`timestamp "now": `+reasonTime,
		`labels.a 1: must be a string`,
		`labels.b 2: must be a string`,
		`offset 1: is set by Daybook; leave it out`,
		`resource 5: must be a string`,
		`user_id: is required: a string of 1 to 256 bytes`,
		`action: is required: a string of 1 to 256 bytes`)
	wantErrors(t, `{}`,
		`user_id: is required: a string of 1 to 256 bytes`,
		`action: is required: a string of 1 to 256 bytes`,
		`resource: is required: a string of 1 to 1024 bytes`)
	wantErrors(t, minimal[:len(minimal)-len(`"r"`)]+`null}`, `resource: is required: a string of 1 to 1024 bytes`)

	var d Decoder
	err := d.Decode([]byte("{"+strings.Repeat(`"x":1,`, 100)+`"x":1}`), new(Event))
	if errs := err.(Errors); len(errs) != maxErrors+1 {
		t.Errorf("%d errors listed, want %d", len(errs), maxErrors+1)
	}
}

func TestDecodeBadJSON(t *testing.T) {
	const is = "is not valid JSON: at byte offset "
	for _, c := range []struct{ in, want string }{
		{``, is + `0 there must be a JSON object, not the end`},
		{` `, is + `1 there must be a JSON object, not the end`},
		{`x`, is + `0 there must be a value, not 'x'`},
		{"\xef\xbb\xbf{}", is + "0 there must be a value, not '\\ufeff'"},
		{`{`, is + `1 there must be a field name in quotes, not the end`},
		{`{"`, is + `2 there must be the closing quote of the string that begins at byte offset 1, not the end`},
		{`{"action"`, is + `9 there must be a colon, not the end`},
		{`{"action":`, is + `10 there must be a value, not the end`},
		{`{"action":"a"`, is + `13 there must be a comma or }, not the end`},
		{`{"action":"a",}`, is + `14 there must be a field name in quotes, not '}'`},
		{`{"action":"a"}{}`, is + `14 there must be the end of the event, not '{'`},
		{`{"action":'a'}`, is + `10 there must be a value, not '\''`},
		{"{\"action\":\xff}", is + `10 there must be a value, not byte 0xff`},
		{`{"action":"\x"}`, is + `11 there must be an escape out of \" \\ \/ \b \f \n \r \t \uXXXX, not '\\'`},
		{`{"offset":01}`, is + `10 there must be a number, not '0'`},
		{`{"color":1.}`, is + `9 there must be a number, not '1'`},
		{`{"metadata":{"a":tru}}`, is + `17 there must be a value, not 't'`},
		{`{"metadata":{"a":[1,]}}`, is + `20 there must be a value, not ']'`},
		{`{"metadata":{"a":[1 2]}}`, is + `20 there must be a comma or ], not '2'`},
		{`{"metadata":{a:1}}`, is + `13 there must be a key in quotes, not 'a'`},
		{`{"metadata":{"a" 1}}`, is + `17 there must be a colon, not '1'`},
		{`{"userid":1,"metadata":{"a":NaN}}`, is + `28 there must be a value, not 'N'`}, // the first error may be a consequence
		{`{"userid":1,"metadata":}`, is + `23 there must be a value, not '}'`},
		{`[{}]`, `must be a JSON object`},
		{`"x"`, `must be a JSON object`},
	} {
		wantErrors(t, c.in, c.want)
	}
}

func TestDecodeSizeLimits(t *testing.T) {
	fill := func(size int) string {
		in := minimal + `,"metadata":{"a":""}}`
		return strings.Replace(in, `""`, `"`+strings.Repeat("x", size-len(in))+`"`, 1)
	}
	wantErrors(t, fill(MaxSize+1), `is 65537 bytes long; at most 65536 are accepted`)
	in := fill(MaxSize)
	size := len(canonicalOf(t, fill(MaxSize/2))) - MaxSize/2 + MaxSize + len(`,"event_id":"00000000-0000-0000-0000-000000000000"`) + len(`,"timestamp":"2006-01-02T15:04:05.999999999Z"`)
	wantErrors(t, in, fmt.Sprintf(`is %d bytes long in canonical form; at most 65536 are accepted`, size))

	// What is accepted fits after Complete, and so can be decoded again.
	var d Decoder
	var e Event
	if err := d.Decode([]byte(fill(2*MaxSize-size)), &e); err != nil {
		t.Fatal(err)
	}
	e.Complete(new(IDSource), time.Unix(1, 999_999_999))
	if got := AppendCanonical(nil, &e); len(got) != MaxSize {
		t.Errorf("canonical form of %d bytes, want %d", len(got), MaxSize)
	} else if err := d.Decode(got, &e); err != nil {
		t.Error(err)
	}

	// Numbers grow: 1e20 becomes 100000000000000000000.
	numbers := minimal + `,"metadata":{"a":[` + strings.Repeat("1e20,", 4000) + `1]}}`
	if err := d.Decode([]byte(numbers), &e); err == nil {
		t.Error("numbers that outgrow the limit are accepted")
	}
	if err := d.Decode([]byte(minimal+`,"metadata":{"a":[`+strings.Repeat("1e20,", MaxSize/8/5-20)+`1]}}`), &e); err != nil {
		t.Error(err)
	} else if n := len(AppendCanonical(nil, &e)); n > MaxSize {
		t.Errorf("an input too short to be measured has %d canonical bytes", n)
	}
}

func TestDecodeAllowSet(t *testing.T) {
	d := Decoder{AllowSet: true}
	in := minimal + `,"received_at":"2026-11-24T02:10:37Z","partition":3,"offset":12}`
	var e, plain Event
	if err := d.Decode([]byte(in), &e); err != nil {
		t.Fatal(err)
	}
	if err := d.Decode([]byte(minimal+"}"), &plain); err != nil {
		t.Fatal(err)
	}
	if e != plain {
		t.Errorf("fields that Daybook sets were kept: %+v", e)
	}
	if err := d.Decode([]byte(minimal+`,"offset":1,"offset":2}`), &e); err == nil {
		t.Error("a field twice is accepted")
	}
}

// TestDecodeKeepsEarlierEvents decodes many events with one Decoder whose input
// buffers are not reused, and then looks whether all still hold what they held.
func TestDecodeKeepsEarlierEvents(t *testing.T) {
	var d Decoder
	events, want := make([]Event, 500), make([]string, 500)
	for i := range events {
		in := fmt.Sprintf(`{"user_id":"u\u0041%d","action":"\n%d","resource":"r","source_ip":"2001:DB8::%x","metadata":{"z":"%s","b": %d.0}}`,
			i, i, i, strings.Repeat("m", i*7), i)
		if err := d.Decode([]byte(in), &events[i]); err != nil {
			t.Fatal(err)
		}
		want[i] = string(AppendCanonical(nil, &events[i]))
	}
	for i := range events {
		if got := string(AppendCanonical(nil, &events[i])); got != want[i] {
			t.Fatalf("event %d changed:\n%s\n%s", i, got, want[i])
		}
	}
}

// TestAllocations: what is done to every event makes nothing for the garbage
// collector.
func TestAllocations(t *testing.T) {
	var d Decoder
	var e Event
	var ids IDSource
	now := time.Now()
	data, buf := []byte(benchCanonical), make([]byte, 0, 1024)
	for _, step := range []struct {
		name string
		run  func()
	}{
		{"Decode of canonical bytes", func() {
			if err := d.Decode(data, &e); err != nil {
				t.Fatal(err)
			}
		}},
		{"AppendCanonical", func() { buf = AppendCanonical(buf[:0], &e) }},
		{"AppendJSON", func() { buf = AppendJSON(buf[:0], &e, AllFields) }},
		{"a new identity", func() { ids.New(now) }},
		{"EachString", func() { EachString(e.Metadata, func(string) bool { return true }) }},
	} {
		if n := testing.AllocsPerRun(100, step.run); n != 0 {
			t.Errorf("%s: %v allocations, want 0", step.name, n)
		}
	}
}

func TestCloneSharesNothing(t *testing.T) {
	var d Decoder
	var e Event
	data := []byte(benchCanonical)
	if err := d.Decode(data, &e); err != nil {
		t.Fatal(err)
	}
	c := e.Clone()
	if c != e {
		t.Fatal("the clone differs")
	}
	clear(data)
	if got := string(AppendCanonical(nil, &c)); got != benchCanonical {
		t.Errorf("the clone changed with the input:\n%s", got)
	}
	if empty := (&Event{Timestamp: math.MaxInt64}).Clone(); empty != (Event{Timestamp: math.MaxInt64}) {
		t.Error("the clone of an empty event differs")
	}
}
