package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParse(t *testing.T) {
	tests := []struct {
		args   string
		sizes  []int
		rounds []int
		err    string
	}{
		{"", []int{1_000_000}, []int{3}, ""},
		{"--events 1M,5M,20M --rounds 3,2,1", []int{1_000_000, 5_000_000, 20_000_000}, []int{3, 2, 1}, ""},
		{"--events 500k,7 --rounds 2", []int{500_000, 7}, []int{2, 2}, ""},
		{"--events 1M,2M,3M --rounds 3,2", nil, nil, "must be one number, or 3"},
		{"--events 0", nil, nil, "must be numbers from 1 to 1000M"},
		{"--events 1001M", nil, nil, "must be numbers from 1 to 1000M"},
		{"--events many", nil, nil, "must be numbers from 1 to 1000M"},
		{"--batch 0", nil, nil, "must be at least 1"},
		{"1M", nil, nil, "flags only"},
	}
	for _, tt := range tests {
		o, err := parse(strings.Fields(tt.args), io.Discard)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Errorf("%s: %v, want %q", tt.args, err, tt.err)
			}
			continue
		}
		if err != nil || !slices.Equal(o.sizes, tt.sizes) || !slices.Equal(o.rounds, tt.rounds) {
			t.Errorf("%s: %v events, %v rounds, %v", tt.args, o.sizes, o.rounds, err)
		}
	}
	o, err := parse(strings.Fields("--daybook /home/x/daybook --dir /home/x --seed 7"), io.Discard)
	if want := " --daybook daybook --seed 7"; err != nil || o.command != want {
		t.Errorf("the command is printed as %q, want %q", o.command, want)
	}
}

func TestLogsQL(t *testing.T) {
	at := time.Date(2026, 11, 24, 10, 0, 0, 1000, time.UTC)
	fields := `(user_id:"a \"b\"" or _msg:"a \"b\"" or resource:"a \"b\"" or tenant_id:"a \"b\"" or outcome:"a \"b\"" or operation:"a \"b\"" or ` +
		`source:"a \"b\"" or source_ip:"a \"b\"" or request_id:"a \"b\"" or labels.region:"a \"b\"" or metadata.http.method:"a \"b\"")`
	tests := []struct {
		q    query
		want string
	}{
		{query{Kind: total}, `* | stats count() n`},
		{query{Kind: page, Limit: 10}, `*`},
		{query{Kind: page, Limit: 10, Skip: 500}, `* | sort by (_time desc) offset 500 limit 10`},
		{query{Kind: page, From: at, To: at.Add(time.Hour)}, `_time:>=2026-11-24T10:00:00.000001Z _time:<2026-11-24T11:00:00.000001Z`},
		{query{Kind: one, Where: []term{{"event_id", "x"}}}, `event_id:="x"`},
		{query{Kind: counts, By: "action", Where: []term{{"user_id", "a"}, {"action", "b"}}}, `user_id:="a" _msg:="b" | stats by (_msg) count() n`},
		{query{Kind: hours}, `* | stats by (_time:1h) count() n`},
		{query{Kind: top, By: "user_id", Limit: 10}, `* | top 10 by (user_id) hits as n`},
		{query{Kind: export, Where: []term{{"", `a "b"`}}}, fields},
	}
	for _, tt := range tests {
		if got := logsQL(tt.q); got != tt.want {
			t.Errorf("%+v:\n%s\nwant\n%s", tt.q, got, tt.want)
		}
	}
}

// TestAnswers: both programs' ways of saying the same give the same.
func TestAnswers(t *testing.T) {
	tests := []struct {
		q           query
		daybook, vl string
		want        string
	}{
		{query{Kind: total}, `{"total":7}`, `{"n":"7"}`, "7"},
		{query{Kind: page}, `{"event_id":"b"}` + "\n" + `{"event_id":"a"}` + "\n", `{"event_id":"a","_msg":"x"}` + "\n" + `{"event_id":"b"}` + "\n", "a|b"},
		{query{Kind: page}, "", "", ""},
		{query{Kind: counts, By: "action"}, `{"total":3,"groups":[{"value":"x","count":2},{"value":"a","count":1}]}`,
			`{"_msg":"a","n":"1"}` + "\n" + `{"_msg":"x","n":"2"}`, "a 1|x 2"},
		{query{Kind: top, By: "user_id", Limit: 2}, `{"total":9,"groups":[{"value":"x","count":2},{"value":"a","count":1}],"other":6}`,
			`{"user_id":"y","n":"2"}` + "\n" + `{"user_id":"b","n":"1"}`, "1|2"},
		{query{Kind: hours}, `{"total":2,"buckets":[{"start":"2026-11-24T10:00:00Z","count":2}]}`,
			`{"_time":"2026-11-24T10:00:00Z","n":"2"}`, "2026-11-24T10:00:00Z 2"},
	}
	for _, tt := range tests {
		for p, body := range map[program]string{daybook{}: tt.daybook, victoriaLogs{}: tt.vl} {
			got, err := p.Answer(tt.q, []byte(body))
			if err != nil || strings.Join(got, "|") != tt.want {
				t.Errorf("%s: %s: %q, %v; want %q", p.Name(), body, got, err, tt.want)
			}
		}
	}
}

// TestCheck: an answer that differs from the events, or from what the first
// program said, fails the run.
func TestCheck(t *testing.T) {
	c := &comparison{options: &options{programs: []program{daybook{}, victoriaLogs{}}}, answers: map[string][]string{}}
	a, b := &turn{comparison: c, p: daybook{}}, &turn{comparison: c, p: victoriaLogs{}}
	steps := []struct {
		t    *turn
		want []string
		got  []string
		ok   bool
	}{
		{a, []string{"id"}, []string{"id"}, true},
		{a, []string{"id"}, []string{}, false},
		{b, []string{}, []string{"id"}, false},
		{a, nil, []string{"x 1"}, true},
		{b, nil, []string{"x 1"}, true},
		{b, nil, []string{"x 2"}, false},
	}
	for i, s := range steps {
		if err := s.t.check("question", query{Want: s.want}, s.got); (err == nil) != s.ok {
			t.Errorf("step %d: %v", i, err)
		}
	}
}

func TestTable(t *testing.T) {
	tab := &table{size: 1_000_000, rounds: 2, programs: []string{"Daybook", "Peer"}}
	for round := range 2 {
		tab.add(0, "rate", "events/s", higher, 300_000+float64(round)*10_000)
		tab.add(0, "cost", "µs", lower, 4.5)
		tab.addFirst(0, "cold", "ms", lower, 0.0123)
		tab.add(1, "rate", "events/s", higher, 100_000)
		tab.add(1, "cost", "µs", lower, 13.5)
		tab.addFirst(1, "cold", "ms", lower, 1.5)
	}
	var out strings.Builder
	if err := tab.write(&out); err != nil {
		t.Fatal(err)
	}
	const want = `
### 1,000,000 events

Of 2 rounds: the median, with the least and the most in brackets.

|      | unit     |                   Daybook |                      Peer |    Peer / Daybook |
|:-----|:---------|--------------------------:|--------------------------:|------------------:|
| rate | events/s | 300,000 (300,000–310,000) | 100,000 (100,000–100,000) | 3.00× (3.00–3.10) |
| cost | µs       |          4.50 (4.50–4.50) |          13.5 (13.5–13.5) | 3.00× (3.00–3.00) |

The first of these queries after the start, before anything was warm:

|      | unit |             Daybook |             Peer | Peer / Daybook |
|:-----|:-----|--------------------:|-----------------:|---------------:|
| cold | ms   | 0.012 (0.012–0.012) | 1.50 (1.50–1.50) | 122× (122–122) |
`
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestCompare makes a small comparison of the real program with itself, and with
// VictoriaLogs where $VICTORIALOGS names its binary.
func TestCompare(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "daybook")
	if runtime.GOOS == "windows" {
		bin += ".exe"
	}
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", bin, "../cmd/daybook").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	o, err := parse(strings.Fields("--events 6k --rounds 1 --singles 5 --probes 2 --daybook "+bin), testLog{t})
	if err != nil {
		t.Fatal(err)
	}
	o.dir = t.TempDir()
	o.programs = append(o.programs, daybook{path: bin})
	if vl := os.Getenv("VICTORIALOGS"); vl != "" {
		o.programs = append(o.programs, victoriaLogs{path: vl})
	}
	ctx, stop := context.WithTimeout(t.Context(), 5*time.Minute)
	defer stop()
	var out strings.Builder
	if err := compare(ctx, o, &out); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	for _, want := range []string{"### 6,000 events", "bulk, 4 × 1000: acknowledged ", "| text: words that nothing has ", "visible: from publishing", "×"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report has no %q:\n%s", want, &out)
		}
	}
	if left, err := os.ReadDir(o.dir); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

type testLog struct{ t *testing.T }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Logf("%s", b)
	return len(b), nil
}
