package client

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/daybook-log/daybook/event"
)

func TestWithIDs(t *testing.T) {
	var ids event.IDSource
	for _, c := range []struct {
		name, line string
		added      bool
	}{
		{"absent", `{"user_id":"a"}`, true},
		{"empty object", ` { } `, true},
		{"present", `{"user_id":"a","event_id":"0198c2d4-0000-7000-8000-000000000001"}`, false},
		{"null stays the server's to assign", `{"event_id":null}`, false},
		{"deeper only", `{"metadata":{"event_id":"x","a":[{"event_id":1}]},"b":1}`, true},
		{"as a value only", `{"action":"event_id","b":["event_id"]}`, true},
		{"not an object", `[1]`, false},
		{"not JSON", `{"user_id":`, false},
		{"blank", "  ", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := string(WithIDs(nil, []byte(c.line), &ids))
			if !c.added {
				if got != strings.TrimSpace(c.line) {
					t.Fatalf("changed to %s", got)
				}
				return
			}
			var before, after map[string]any
			if err := json.Unmarshal([]byte(c.line), &before); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal([]byte(got), &after); err != nil {
				t.Fatalf("%v in %s", err, got)
			}
			if id, _ := after["event_id"].(string); len(id) != 36 || len(after) != len(before)+1 {
				t.Fatalf("got %s", got)
			}
		})
	}
}
