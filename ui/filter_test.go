package ui_test

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
)

// madeOf is what the page's own module makes of a value and of a filter.
type madeOf struct {
	Values  []struct{ Is, Starts, Contains, Label, Path string }
	Queries []struct {
		Tokens   []string
		Covered  bool
		Rejoined *string
		Added    string
		Dropped  []string
	}
}

func askPage(t *testing.T, values, queries []string) (made madeOf) {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("node is needed to run the page's module")
		}
		t.Skip("NOT TESTED: there is no node to run the page's module with")
	}
	input, err := json.Marshal(map[string][]string{"values": append([]string{}, values...), "queries": append([]string{}, queries...)})
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), node, "testdata/filter.mjs")
	cmd.Stdin, cmd.Stderr = bytes.NewReader(input), &stderr
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, &made)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	return made
}

// A click on a value finds the events that have exactly this value, whatever it
// is made of.
func TestClickedValuesFindThemselves(t *testing.T) {
	values := []string{
		"alice", "Alice Doe", `CORP\alice`, `"quoted"`, "a:b", "a..b", "..", ".", "-5", "->", ">=5", "<script>", "(a or b)", "or", "and", "not", "*", "a*c",
		"2001:db8::1", "::1", "http://example.org/?a=b&c", "tab\tand\nline", "nul\x00", "עברית", "\u202eevil", "日本語", "😀👩‍👩‍👧", "é", "\u2028", "#", "a,b;c", "{}", "[1]", "`", "'", "~", "$x", "a/../b", "\\", "\\\\*", "(", ")", "metadata.x", "1e3", "true", strings.Repeat("x ", 100),
	}
	made := askPage(t, values, nil)
	matches := func(q string, e *event.Event) bool {
		t.Helper()
		x, err := filter.Parse(q)
		if err != nil {
			t.Errorf("%q: %v", q, err)
			return false
		}
		return filter.Match(x, e)
	}
	for i, v := range values {
		m := made.Values[i]
		object := "{" + quoted(t, v) + ":" + quoted(t, v) + "}"
		self := &event.Event{UserID: v, Labels: object, Metadata: object}
		for what, q := range map[string]string{"is": m.Is, "starts": m.Starts, "contains": m.Contains, "label": m.Label, "path": m.Path} {
			if !matches(q, self) {
				t.Errorf("%s: %q does not find %q", what, q, v)
			}
		}
		if around := (&event.Event{UserID: "<" + v + ">"}); matches(m.Is, around) || matches(m.Starts, around) || !matches(m.Contains, around) {
			t.Errorf("%q, %q or %q is wrong about %q", m.Is, m.Starts, m.Contains, around.UserID)
		}
	}
}

// quoted writes a JSON string as the canonical form does: only what must be is escaped.
func quoted(t *testing.T, s string) string {
	t.Helper()
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		t.Fatal(err)
	}
	return strings.ReplaceAll(strings.TrimSuffix(b.String(), "\n"), `\u2028`, "\u2028")
}

// Every filter of the language's page is cut into tokens without a loss, and its
// parts mean together what it means.
func TestFiltersAreTakenApart(t *testing.T) {
	page, err := os.ReadFile("../docs/filter-language.md")
	if err != nil {
		t.Fatal(err)
	}
	var queries []string
	for _, block := range regexp.MustCompile("(?ms)^```filter\n(.*?)^```").FindAllStringSubmatch(string(page), -1) {
		for line := range strings.SplitSeq(strings.TrimSpace(block[1]), "\n") {
			q, _, _ := strings.Cut(line, "   ")
			queries = append(queries, q)
		}
	}
	queries = append(queries, "", "a or b", "(a or b) c", "not (a b) and c", "-(outcome:success)", `labels."a b":c -x`)
	if len(queries) < 80 {
		t.Fatalf("only %d filters found", len(queries))
	}
	made := askPage(t, nil, queries)
	meaning := func(q string) string {
		x, err := filter.Parse(q)
		if err != nil {
			t.Errorf("%q: %v", q, err)
			return ""
		}
		return relative.ReplaceAllString(x.String(), "<now>")
	}
	squeeze := func(s string) string { return strings.Join(strings.Fields(s), "") }
	for i, q := range queries {
		m := made.Queries[i]
		if !m.Covered || squeeze(strings.Join(m.Tokens, "")) != squeeze(q) {
			t.Errorf("%q is cut into %q", q, m.Tokens)
		}
		want := meaning(q)
		if m.Rejoined != nil && meaning(*m.Rejoined) != want {
			t.Errorf("%q in parts is %q", q, *m.Rejoined)
		}
		if q != "" && meaning(m.Added) != meaning("("+q+") session_id:x") {
			t.Errorf("%q and a term is %q", q, m.Added)
		}
		for _, rest := range m.Dropped {
			meaning(rest) // is a filter
		}
	}
}

// relative stands for a moment that differs from one parse to the next.
var relative = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,}Z`)
