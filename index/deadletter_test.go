package index

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/stream/wal"
)

func TestDeadLetterJSON(t *testing.T) {
	at := event.Position{Partition: 1, Offset: 42}
	tests := []struct {
		name   string
		letter DeadLetter
		want   string
	}{
		{"text", newDeadLetter(at, 1_500_000_000, []byte(`{"a":"<b>"}`), event.Errors{{Field: "a", Value: "<b>", Reason: "is no field"}}),
			`{"partition":1,"offset":42,"received_at":"1970-01-01T00:00:01.5Z","class":"field","errors":[{"field":"a","value":"\u003cb\u003e","reason":"is no field"}],"record":"{\"a\":\"\u003cb\u003e\"}"}`},
		{"not UTF-8", newDeadLetter(at, 0, []byte("\x00\xff"), errors.New("is not JSON")),
			`{"partition":1,"offset":42,"received_at":"1970-01-01T00:00:00Z","class":"syntax","errors":[{"reason":"is not JSON"}],"record_base64":"AP8="}`},
		{"empty", newDeadLetter(at, 0, []byte{}, event.Errors{{Reason: "is empty"}}),
			`{"partition":1,"offset":42,"received_at":"1970-01-01T00:00:00Z","class":"syntax","errors":[{"reason":"is empty"}],"record":""}`},
	}
	for _, tt := range tests {
		got, err := json.Marshal(tt.letter)
		if err != nil || string(got) != tt.want {
			t.Errorf("%s:\n got %s (%v)\nwant %s", tt.name, got, err, tt.want)
		}
		var back DeadLetter
		if err := json.Unmarshal(got, &back); err != nil || !reflect.DeepEqual(back, tt.letter) {
			t.Errorf("%s: read back %+v (%v), want %+v", tt.name, back, err, tt.letter)
		}
	}
}

// FuzzDeadLetter checks that any record comes back as it was.
func FuzzDeadLetter(f *testing.F) {
	f.Add([]byte("text"), int64(1))
	f.Add([]byte("\xff\x00\u2028"), int64(-1))
	f.Fuzz(func(t *testing.T, record []byte, receivedAt int64) {
		d := newDeadLetter(event.Position{}, receivedAt, record, errors.New("x"))
		b, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		var back DeadLetter
		if err := json.Unmarshal(b, &back); err != nil || string(back.Record) != string(record) || back.ReceivedAt != receivedAt {
			t.Errorf("%q came back as %q (%v)", record, back.Record, err)
		}
	})
}

func TestDeadLettersList(t *testing.T) {
	log := openLog(t, wal.Options{})
	// The answer to the first append is lost, so its letters are there twice.
	dead := &flaky{Log: log}
	dead.failures.Store(1)
	l := openLetters(t, dead)
	letters := []DeadLetter{}
	for i := range 10 {
		letters = append(letters, newDeadLetter(event.Position{Offset: int64(2 * i)}, 0, []byte{byte(i)}, errors.New("x")))
	}
	if err := l.Append(t.Context(), letters[:4]); err == nil {
		t.Fatal("flaky append succeeded")
	}
	for _, n := range []int{4, 4, 10} { // the second time there is nothing to do
		if err := l.Append(t.Context(), letters[:n]); err != nil {
			t.Fatal(err)
		}
	}
	if end, _ := log.End(t.Context()); end.At(0) != 14 {
		t.Fatalf("the stream holds %d records, want 14", end.At(0))
	}
	for _, limit := range []int{1, 3, 5, 100} {
		for _, l := range []*DeadLetters{l, openLetters(t, log)} {
			var got []string
			var c LetterCursor
			for {
				page, next, err := l.List(t.Context(), Selection{}, c, limit)
				if err != nil {
					t.Fatal(err)
				}
				if len(page) == 0 {
					break
				}
				if len(page) > limit {
					t.Errorf("page of %d, limit %d", len(page), limit)
				}
				for _, d := range page {
					got = append(got, string('0'+d.Record[0]))
				}
				c = next
			}
			if s := strings.Join(got, ""); s != "0123456789" || l.Count() != 10 {
				t.Errorf("limit %d: listed %s, count %d", limit, s, l.Count())
			}
		}
	}
	if d, ok, err := l.Get(t.Context(), event.Position{Offset: 8}); !ok || err != nil || d.Record[0] != 4 {
		t.Errorf("Get: %+v, %t, %v", d, ok, err)
	}
	if _, ok, err := l.Get(t.Context(), event.Position{Offset: 7}); ok || err != nil {
		t.Errorf("Get of no letter: %t, %v", ok, err)
	}
}
