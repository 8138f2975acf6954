package api_test

import (
	"net/url"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/daybook-log/daybook/event"
)

// Every request that the documentation shows is answered as the reader expects.
func TestExamplesInTheDocs(t *testing.T) {
	page, err := os.ReadFile("../docs/http-api.md")
	if err != nil {
		t.Fatal(err)
	}
	s := newServer(t)
	shown := numbered(0)
	shown.ID, _ = event.ParseID("0198c2d4-7a31-7c55-9d0e-3f2b8a6e1c47")
	s.mem.Publish(shown)
	address := regexp.MustCompile(`http://127\.0\.0\.1:7575(/[^\s']*)`)
	encoded := regexp.MustCompile(`--data-urlencode '([^=]*)=([^']*)'| -d ([a-z.]+)=(\S+)`)
	examples := 0
	for line := range strings.SplitSeq(string(page), "\n") {
		m := address.FindStringSubmatch(line)
		if !strings.HasPrefix(line, "curl") || m == nil || strings.HasSuffix(line, "\\") {
			continue
		}
		path := m[1]
		for _, d := range encoded.FindAllStringSubmatch(line, -1) {
			join := "?"
			if strings.Contains(path, "?") {
				join = "&"
			}
			path += join + d[1] + d[3] + "=" + url.QueryEscape(d[2]+d[4])
		}
		examples++
		if resp := s.do("GET", path); resp.StatusCode != 200 {
			t.Errorf("%s\nanswers %d: %s", line, resp.StatusCode, read(t, resp))
		}
	}
	if examples < 10 {
		t.Errorf("only %d examples found", examples)
	}
	for _, line := range lines(s.get("/"))[2:] {
		_, path, _ := strings.Cut(line, " ")
		if !strings.Contains(string(page), path) {
			t.Errorf("the page does not name %s", path)
		}
	}
}

// The problem types that the page lists are those that the server gives.
func TestProblemTypesInTheDocs(t *testing.T) {
	page, err := os.ReadFile("../docs/http-api.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"api.go", "guard.go", "respond.go", "export.go", "deadletters.go", "auth.go", "keys.go", "session.go", "tail.go", "searches.go"} {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?:Type: |p\.Type, p\.Title = )"([a-z-]+)"`).FindAllStringSubmatch(string(source), -1) {
			if !strings.Contains(string(page), "`"+m[1]+"`") {
				t.Errorf("the page does not name the problem type %s", m[1])
			}
		}
	}
}
