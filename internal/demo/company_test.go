package demo

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/daybook-log/daybook/event"
)

func TestEveryEventIsValid(t *testing.T) {
	c := NewCompany(1)
	var dec event.Decoder
	actions, outcomes := map[string]int{}, map[string]int{}
	start := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	for i := range 3000 {
		for _, line := range c.Next(start.Add(time.Duration(i) * time.Second)) {
			var e event.Event
			if err := dec.Decode(line, &e); err != nil {
				t.Fatalf("%v: %s", err, line)
			}
			actions[e.Action]++
			outcomes[e.Outcome]++
		}
	}
	if len(actions) < 15 || outcomes["denied"] == 0 || outcomes["failure"] == 0 {
		t.Errorf("a dull company: %v %v", actions, outcomes)
	}
}

func TestSameSeedSameDays(t *testing.T) {
	at := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	a, b := NewCompany(5), NewCompany(5)
	for range 100 {
		x, y := a.Next(at), b.Next(at)
		if len(x) != len(y) {
			t.Fatal("different numbers of events")
		}
		for i := range x {
			if strip(t, x[i]) != strip(t, y[i]) {
				t.Fatalf("%s\n%s", x[i], y[i])
			}
		}
	}
}

// strip removes the identity, which is new each time.
func strip(t *testing.T, line []byte) string {
	var d map[string]any
	if err := json.Unmarshal(line, &d); err != nil {
		t.Fatal(err)
	}
	delete(d, "event_id")
	out, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
