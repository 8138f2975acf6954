package redact

import (
	"bytes"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/importer"
	"github.com/daybook-log/daybook/importer/importertest"
)

// sharedData holds real audit logs; it lies beside the checkout and is no part of it.
const sharedData = "../../../shared/data"

// realEvents calls fn with every event that the importers make of the real logs,
// and of GitHub's webhooks, which are no audit log: as metadata.
func realEvents(t testing.TB, fn func(file string, e *event.Event)) {
	var d event.Decoder
	for _, file := range importertest.Logs(t, sharedData) {
		name := strings.TrimSuffix(filepath.Base(file), ".ndjson.gz")
		data := importertest.Inflate(t, file)
		if strings.Contains(name, "webhooks") {
			for line := range bytes.Lines(data) {
				e := decode(t, `"metadata":`+string(line))
				fn(name, &e)
			}
			continue
		}
		im, err := importer.New(importer.Auto)
		if err != nil {
			t.Fatal(err)
		}
		for item := range im.Read(file, bytes.NewReader(data)) {
			if item.Err != nil {
				continue // what is no event is importer's to test
			}
			var e event.Event
			if err := d.Decode(item.Event, &e); err != nil {
				t.Fatal(err)
			}
			fn(name, &e)
		}
	}
}

// replacedKeys returns the values that were replaced, by file and the last key
// above them.
func replacedKeys(file, before, after string, counts map[string]int) {
	var walk func(key, before, after string)
	walk = func(key, before, after string) {
		if before == after {
			return
		}
		switch before[0] {
		case '{':
			members := map[string]string{}
			event.EachMember(after, func(k, v string) bool { members[k] = v; return true })
			event.EachMember(before, func(k, v string) bool { walk(k, v, members[k]); return true })
		case '[':
			var elements []string
			event.EachElement(after, func(v string) bool { elements = append(elements, v); return true })
			i := 0
			event.EachElement(before, func(v string) bool { walk(key, v, elements[i]); i++; return true })
		default:
			counts[file+" "+key]++
		}
	}
	walk("", before, after)
}

// TestRealLogs pins what the defaults redact in real logs. Each line was looked at:
// they are live credentials (sessionToken), what their source had masked already
// (HIDDEN_DUE_TO_SECURITY_REASONS, ****), and AWS's clientToken, which is no secret
// but a number that makes a request unique. What Vault has hashed stays.
func TestRealLogs(t *testing.T) {
	r := newRedactor(t, Options{Defaults: true})
	counts := map[string]int{}
	events, concerned := 0, 0
	realEvents(t, func(file string, e *event.Event) {
		events++
		out, n := redacted(t, r, *e)
		if n > 0 {
			concerned++
			replacedKeys(file, e.Metadata, out.Metadata, counts)
		}
		for _, f := range []event.Field{event.Labels, event.Changes} {
			if e.Text(f) != out.Text(f) {
				counts[file+" "+f.String()]++
			}
		}
	})
	var got []string
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		got = append(got, fmt.Sprintf("%s %d", k, counts[k]))
	}
	want := []string{
		"auth0 _csrf 1",
		"aws_cloudtrail ClientToken 4",
		"aws_cloudtrail accessToken 1",
		"aws_cloudtrail clientSecret 1",
		"aws_cloudtrail clientToken 17",
		"aws_cloudtrail deviceCode 1",
		"aws_cloudtrail idToken 1",
		"aws_cloudtrail masterUserPassword 8",
		"aws_cloudtrail refreshToken 1",
		"aws_cloudtrail sessionToken 5",
		"cloudtrail-stratus clientToken 1",
		"cloudtrail-stratus sessionToken 9",
		"cloudtrail-stratus tokenValue 3",
		"github-webhooks-octokit secret 2",
		"otrf-aws sessionToken 5",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d of %d events were redacted:\n%s\nwant:\n%s", concerned, events, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestRealLogsPatterns pins what the patterns find in real logs: the identities of
// AWS keys, and nothing that is none of theirs.
func TestRealLogsPatterns(t *testing.T) {
	counts := map[string]int{}
	for _, name := range PatternNames() {
		r := newRedactor(t, Options{Patterns: []string{name}})
		realEvents(t, func(file string, e *event.Event) {
			before := *e
			if _, n := redacted(t, r, before); n > 0 {
				counts[name+" "+file] += n
			}
		})
	}
	var got []string
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		got = append(got, fmt.Sprintf("%s %d", k, counts[k]))
	}
	want := []string{
		"aws-access-key aws_cloudtrail 156",
		"aws-access-key cloudtrail-stratus 320",
		"aws-access-key github-webhooks-octokit 2",
		"aws-access-key otrf-aws 103",
	}
	if !slices.Equal(got, want) {
		t.Errorf("found:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
