package importer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/daybook-log/daybook/event"
)

func TestDetect(t *testing.T) {
	for _, c := range []struct{ record, want string }{
		{`{"user_id":"a","action":"b","resource":"c"}`, "ndjson"},
		{`{"kind":"Event","apiVersion":"audit.k8s.io/v1","verb":"get"}`, "k8s"},
		{`{"auditID":"1","stage":"Panic"}`, "k8s"},
		{`{"\u0061uditID":"1","stage":"Panic"}`, "k8s"},
		{`{"kind":"Event","apiVersion":"v1","reason":"Scheduled"}`, ""}, // a cluster event, no audit event
		{`{"properties":{"log":"{\"auditID\":\"1\",\"stage\":\"Panic\"}"},"operationName":"x","category":"kube-audit"}`, "k8s"},
		{`{"properties":{"log":"I0301 started"},"operationName":"x","category":"kube-audit"}`, "azure"},
		{`{"eventName":"GetObject","eventSource":"s3.amazonaws.com"}`, "cloudtrail"},
		{`{"eventname":"GetObject","eventsource":"s3.amazonaws.com"}`, "cloudtrail"},
		{`{"CloudTrailEvent":"{\"eventName\":\"x\",\"eventSource\":\"y\"}","EventId":"1"}`, "cloudtrail"},
		{`{"id":"1","timestamp":1,"message":"{\"eventName\":\"x\",\"eventSource\":\"y\"}"}`, "cloudtrail"},
		{`{"type":"request","request":{"path":"sys/health"}}`, "vault"},
		{`{"type":"request","path":"/"}`, ""},
		{`{"protoPayload":{"methodName":"x"}}`, "gcp"},
		{`{"logName":"projects/p/logs/l","insertId":"1"}`, "gcp"},
		{`{"operationName":"x","resourceId":"/subscriptions/1"}`, "azure"},
		{`{"operation_name":{"value":"x"},"event_data_id":"1"}`, "azure"},
		{`{"id":{"applicationName":"login"},"type":"login"}`, "gsuite"},
		{`{"eventType":"user.session.start","actor":{"id":"1"}}`, "okta"},
		{`{"log_id":"1","data":{"type":"s","client_id":"1"}}`, "auth0"},
		{`{"uuid":"1","client":{"app_name":"x"},"timestamp":"2026-03-01T00:00:00Z"}`, "onepassword"},
		{`{"QUERY_TYPE":"SELECT","USER_NAME":"A"}`, "snowflake"},
		{`{"action":"user_login","actor":{"type":"user","user":{"id":"1"}},"context":{}}`, "slack"},
		{`{"action":"repo.create","actor":"ada"}`, "github"},
		{`{"SyslogMessage":"type=USER_LOGIN msg=audit(1.1:1): uid=0"}`, "auditd"},
		{`{"message":"hello"}`, ""},
		{`{}`, ""},
		{`{"a":1`, ""},
		{`[]`, ""},
		{`7`, ""},
		{``, ""},
	} {
		if got := Detect([]byte(c.record)); got != c.want {
			t.Errorf("%s: got %q, want %q", c.record, got, c.want)
		}
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct{ format, record, reason, says string }{
		{Auto, `{"a":1}`, ReasonUnrecognised, "none of the formats"},
		{Auto, `{"a":tru}`, ReasonJSON, "invalid character"},
		{Auto, `hello`, ReasonJSON, `"hello" … is neither an object nor an auditd record`},
		{"k8s", `hello`, ReasonJSON, `"hello" … is no object`},
		{"k8s", `{"eventName":"x","eventSource":"y"}`, ReasonUnrecognised, "a k8s record has `apiVersion` = audit.k8s.io/…"},
		{"ndjson", `{"user_id":"ada"}`, ReasonUnrecognised, "an event has `user_id` and `action` and `resource`"},
		{"ndjson", `{"user_id":"ada","action":"x","resource":"y","usr":1}`, ReasonInvalid, "usr"},
		{Auto, `{"auditID":"1","stage":"Panic","verb":"get","verb":"get"}`, ReasonInvalid, "verb"},
		{Auto, `{"auditID":"1","stage":"Panic","x":"` + "\xff" + `"}`, ReasonInvalid, "UTF-8"},
		{Auto, `{"auditID":"1","stage":"Panic","x":"` + strings.Repeat("x", event.MaxSize) + `"}`, ReasonInvalid, "65536"},
	} {
		items := importAll(t, c.format, "f", []byte(c.record+"\n"+oneEvent))
		if len(items) != 2 {
			t.Fatalf("%.60s: %d items, want 2", c.record, len(items))
		}
		err := items[0].Err
		if err == nil || Reason(err) != c.reason || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %.60s: got %v, want %s: …%s…", c.format, c.record, err, c.reason, c.says)
		}
		if string(items[0].Raw) != c.record {
			t.Errorf("%.60s: Raw is %.60q", c.record, items[0].Raw)
		}
		if native := c.format == Auto || c.format == "ndjson"; native && items[1].Err != nil {
			t.Errorf("%.60s: its neighbour was refused: %v", c.record, items[1].Err)
		}
	}
}

func TestNewRefusesUnknownFormat(t *testing.T) {
	if _, err := New("syslog"); err == nil || !strings.Contains(err.Error(), "auditd") {
		t.Errorf("got %v; want the names there are", err)
	}
}

// TestTwice imports every fixture twice, in another wrapping the second time:
// each record is the same event both times, byte for byte.
func TestTwice(t *testing.T) {
	for _, format := range Formats()[1:] {
		data, err := os.ReadFile(filepath.Join("testdata", format+".ndjson"))
		if err != nil {
			t.Fatal(err)
		}
		lines := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
		if !json.Valid(lines[0]) {
			continue // text lines cannot be wrapped
		}
		list := bytes.Join(lines, []byte(","))
		var pretty bytes.Buffer
		if err := json.Indent(&pretty, wrap(`[`, list, `]`), "", "    "); err != nil {
			t.Fatal(err)
		}
		want := importAll(t, Auto, format, data)
		for name, wrapped := range map[string][]byte{
			"again":        data,
			"Records":      wrap(`{"Records":[`, list, `]}`),
			"pretty array": pretty.Bytes(),
		} {
			got := importAll(t, Auto, format, wrapped)
			if len(got) != len(want) {
				t.Fatalf("%s %s: %d records, want %d", format, name, len(got), len(want))
			}
			for i := range got {
				if !bytes.Equal(got[i].Event, want[i].Event) {
					t.Errorf("%s %s: record %d became\n%s\nnot\n%s", format, name, i+1, got[i].Event, want[i].Event)
				}
			}
		}
	}
}

func wrap(open string, list []byte, end string) []byte {
	return []byte(open + string(list) + end)
}

func eventID(t *testing.T, record string) event.ID {
	t.Helper()
	items := importAll(t, Auto, "f", []byte(record))
	if len(items) != 1 || items[0].Err != nil {
		t.Fatalf("%s: %+v", record, items)
	}
	var dec event.Decoder
	var ev event.Event
	if err := dec.Decode(items[0].Event, &ev); err != nil {
		t.Fatal(err)
	}
	return ev.ID
}

// TestIdentity says which records are one event.
func TestIdentity(t *testing.T) {
	const plain = `{"auditID":"1","stage":"Panic","verb":"get","n":100}`
	for _, c := range []struct {
		name, a, b string
		same       bool
	}{
		{"itself", plain, plain, true},
		{"order and space", plain, `{ "n": 1e2, "verb":"get", "stage":"Panic", "auditID":"1" }`, true},
		{"in an envelope", plain, `{"properties":{"log":"{\"auditID\":\"1\",\"stage\":\"Panic\",\"verb\":\"get\",\"n\":100}"}}`, true},
		{"two envelopes", `{"time":1,"properties":{"log":` + quote(plain) + `}}`, `{"time":2,"properties":{"log":` + quote(plain) + `}}`, true},
		{"another stage", plain, `{"auditID":"1","stage":"ResponseComplete","verb":"get","n":100}`, false},
		{"the same id for something else", plain, `{"auditID":"1","stage":"Panic","verb":"list","n":100}`, false},
		{"a number a double cannot tell apart", `{"auditID":"1","stage":"s","n":9007199254740993}`, `{"auditID":"1","stage":"s","n":9007199254740992}`, false},
		{"text and JSON that carries it", `type=A msg=audit(1.5:7): uid=0`, `{"message":"type=A msg=audit(1.5:7): uid=0"}`, true},
		{"what Daybook sets", `{"user_id":"a","action":"b","resource":"c"}`, `{"user_id":"a","action":"b","resource":"c","offset":7,"partition":1}`, true},
	} {
		if a, b := eventID(t, c.a), eventID(t, c.b); (a == b) != c.same {
			t.Errorf("%s: %v and %v; want the same: %v", c.name, a, b, c.same)
		}
	}
}

func quote(s string) string {
	b, _ := json.Marshal(s)
	return string(b)
}

// TestIdentityIsForGood pins an id: a change of the rule would make everything
// imported before new again.
func TestIdentityIsForGood(t *testing.T) {
	if got, want := eventID(t, `{"auditID":"a","stage":"b"}`).String(), "e3dc088c-58b0-8ea3-b9b4-0475c418659c"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestEnvelope keeps what a record travelled in, without the text of the record.
func TestEnvelope(t *testing.T) {
	items := importAll(t, Auto, "f", []byte(`{"id":"e1","big":12345678901234567890,"message":"{\"auditID\":\"1\",\"stage\":\"Panic\"}"}`))
	const want = `"metadata":{"_envelope":{"big":12345678901234567890,"id":"e1","message":""},"auditID":"1","stage":"Panic"}`
	if items[0].Err != nil || !bytes.Contains(items[0].Event, []byte(want)) {
		t.Errorf("got %s (%v), want %s in it", items[0].Event, items[0].Err, want)
	}
}

// TestLongFields cuts what is too long for its field and keeps it in metadata.
func TestLongFields(t *testing.T) {
	agent := strings.Repeat("é", 2000)
	items := importAll(t, Auto, "f", []byte(`{"auditID":"1","stage":"Panic","userAgent":"`+agent+`"}`))
	if items[0].Err != nil {
		t.Fatal(items[0].Err)
	}
	var ev event.Event
	var dec event.Decoder
	if err := dec.Decode(items[0].Event, &ev); err != nil {
		t.Fatal(err)
	}
	if ev.UserAgent != agent[:2048] {
		t.Errorf("user_agent has %d bytes; want 2048", len(ev.UserAgent))
	}
	if !strings.Contains(ev.Metadata, agent) {
		t.Error("metadata does not hold the whole of it")
	}
}

// TestAssignedTime marks events whose record holds no time.
func TestAssignedTime(t *testing.T) {
	for record, want := range map[string]bool{
		`{"auditID":"1","stage":"Panic"}`:                                      true,
		`{"auditID":"1","stage":"Panic","stageTimestamp":"soon"}`:              true,
		`{"auditID":"1","stage":"Panic","stageTimestamp":"2026-03-01T00:00Z"}`: true,
		`{"auditID":"1","stage":"Panic","timestamp":1772352000}`:               false,
		`{"auditID":"1","stage":"Panic","timestamp":"0001-01-01T00:00:00Z"}`:   true,
		`{"auditID":"1","stage":"Panic","timestamp":"9999-12-31T23:59:59Z"}`:   true,
	} {
		items := importAll(t, Auto, "f", []byte(record))
		if got := bytes.Contains(items[0].Event, []byte(`"labels":{"stage":"Panic","timestamp":"assigned"}`)); got != want {
			t.Errorf("%s: assigned %v, want %v: %s", record, got, want, items[0].Event)
		}
		if got := !bytes.Contains(items[0].Event, []byte(`"timestamp":"20`)); want && !got {
			t.Errorf("%s: a timestamp was made up: %s", record, items[0].Event)
		}
	}
}

func TestParseTime(t *testing.T) {
	for in, want := range map[string]string{
		"2026-03-01T08:00:00Z":                "2026-03-01T08:00:00Z",
		"2026-03-01T10:00:00.123456789+02:00": "2026-03-01T08:00:00.123456789Z",
		"2026-03-01 08:00:00.5":               "2026-03-01T08:00:00.5Z",
		"2026-03-01 08:00:00 -0700":           "2026-03-01T15:00:00Z",
		"2026-03-01T08:00:00":                 "2026-03-01T08:00:00Z",
		"1772352000":                          "2026-03-01T08:00:00Z",
		"1772352000.243":                      "2026-03-01T08:00:00.243Z",
		"1772352000123":                       "2026-03-01T08:00:00.123Z",
		"1772352000123456":                    "2026-03-01T08:00:00.123456Z",
		"1772352000123456789":                 "2026-03-01T08:00:00.123456789Z",
		"1772352000123.0":                     "2026-03-01T08:00:00.123Z",
		"redacted":                            "",
		"2026-13-01T08:00:00Z":                "",
		"99999999999999999999":                "",
		"1.x":                                 "",
		"":                                    "",
	} {
		got := ""
		if at, ok := parseTime(in); ok {
			got = at.UTC().Format("2006-01-02T15:04:05.999999999Z07:00")
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestOperationOf(t *testing.T) {
	for name, want := range map[string]string{
		"DescribeInstances":                                     "read",
		"UpdateLoginProfile":                                    "update",
		"v1.compute.subnetworks.patch":                          "update",
		"google.iam.admin.v1.CreateServiceAccount":              "create",
		"Microsoft.Storage/storageAccounts/listKeys/action":     "read",
		"MICROSOFT.KEYVAULT/VAULTS/DELETE":                      "delete",
		"protected_branch.destroy":                              "delete",
		"app_installed":                                         "create",
		"google.cloud.resourcemanager.v3.Projects.SetIamPolicy": "update",
		"organization.something":                                "",
		"":                                                      "",
	} {
		if got := operationOf(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

// FuzzImport imports any line as any format: it must not panic, must account for
// every record, must give only events that the decoder accepts, and the same
// ones again.
func FuzzImport(f *testing.F) {
	formats := Formats()
	for i, format := range formats[1:] {
		data, err := os.ReadFile(filepath.Join("testdata", format+".ndjson"))
		if err != nil {
			f.Fatal(err)
		}
		for line := range bytes.Lines(data) {
			f.Add(uint8(i+1), line)
			f.Add(uint8(0), line)
		}
	}
	f.Add(uint8(0), []byte(`{"Records":[{"eventName":"x","eventSource":"y"},7,{"a":"\ud800"}]}`))
	f.Add(uint8(0), []byte("type=EXECVE msg=audit(1.1:1): a0=2F a1='\x1d"))
	f.Fuzz(func(t *testing.T, format uint8, data []byte) {
		name := formats[int(format)%len(formats)]
		im, err := New(name)
		if err != nil {
			t.Fatal(err)
		}
		var dec event.Decoder
		var first []string
		for item := range im.Read("f", bytes.NewReader(data)) {
			first = append(first, fmt.Sprintf("%s %v", item.Event, item.Err))
			if (item.Err == nil) == (item.Event == nil) {
				t.Fatalf("record %d: want an event or an error", item.Record)
			}
			var ev event.Event
			if item.Err == nil {
				if err := dec.Decode(item.Event, &ev); err != nil {
					t.Fatalf("%s: %v", item.Event, err)
				}
				if ev.ID.IsZero() {
					t.Fatalf("%s: no event_id", item.Event)
				}
			}
		}
		n := 0
		for item := range im.Read("f", bytes.NewReader(data)) {
			if again := fmt.Sprintf("%s %v", item.Event, item.Err); n >= len(first) || again != first[n] {
				t.Fatalf("record %d is another the second time: %s", item.Record, again)
			}
			n++
		}
		if n != len(first) {
			t.Fatalf("%d records, then %d", len(first), n)
		}
	})
}

func BenchmarkImport(b *testing.B) {
	for _, format := range []string{"k8s", "cloudtrail", "vault", "auditd"} {
		data, err := os.ReadFile(filepath.Join("testdata", format+".ndjson"))
		if err != nil {
			b.Fatal(err)
		}
		data = bytes.Repeat(data, 1+1<<20/len(data)) // what a Read costs once is not a record's
		lines := bytes.Count(data, []byte("\n"))
		im, err := New(Auto)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(format, func(b *testing.B) {
			b.SetBytes(int64(len(data) / lines))
			b.ReportAllocs()
			for n := 0; n < b.N; {
				for item := range im.Read("f", bytes.NewReader(data)) {
					if item.Err != nil {
						b.Fatal(item.Err)
					}
					n++
				}
			}
		})
	}
}
