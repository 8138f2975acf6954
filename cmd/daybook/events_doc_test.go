package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/daybook-log/daybook/event"
)

// TestEventReference holds the table of docs/events.md against the table of
// package event, in both directions.
func TestEventReference(t *testing.T) {
	text, err := os.ReadFile("../../docs/events.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\|([^|\n]*)\\|([^|\n]*)\\|([^|\n]*)\\|$").FindAllStringSubmatch(string(text), -1)
	if len(rows) != int(event.NumFields) {
		t.Fatalf("%d fields are described; there are %d", len(rows), event.NumFields)
	}
	for i, row := range rows {
		f := event.Field(i)
		info := f.Info()
		if row[1] != info.Name {
			t.Errorf("row %d is %s; the field is %s", i, row[1], info.Name)
			continue
		}
		want := func(column int, s string) {
			if !strings.Contains(row[column], s) {
				t.Errorf("%s: %q lacks %q", info.Name, row[column], s)
			}
		}
		if info.MaxBytes > 0 {
			want(2, fmt.Sprintf("at most %d", info.MaxBytes))
		}
		for _, v := range info.Values {
			want(2, "`"+v+"`")
		}
		if info.Default != "" {
			want(3, "`"+info.Default+"` if absent")
		}
		if info.Required {
			want(3, "required")
		}
		if info.Set {
			want(3, "set by Daybook")
		}
	}
}
