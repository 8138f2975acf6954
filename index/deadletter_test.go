package index

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/stream"
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
		{"from Kafka", DeadLetter{Topic: "t", Position: at, Class: ClassSyntax, Errors: event.Errors{{Reason: "x"}}, Headers: []stream.Header{{Key: "a", Value: []byte("b")}, {Key: "c", Value: []byte{0xff}}}, Record: []byte("{")},
			`{"topic":"t","partition":1,"offset":42,"received_at":"1970-01-01T00:00:00Z","class":"syntax","errors":[{"reason":"x"}],"headers":[{"key":"a","value":"b"},{"key":"c","value_base64":"/w=="}],"record":"{"}`},
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

// TestLettersAreBounded: a record of any size leaves a letter that the
// dead-letter stream takes, and many of them do so at once.
func TestLettersAreBounded(t *testing.T) {
	const limit = 1 << 20 // of a record of the topic
	manyErrors := "{" + strings.Repeat(`"`+strings.Repeat("é", 500)+`":1,`, 60) + `"x":1}`
	for name, record := range map[string]string{
		"text": strings.Repeat("é", 1<<20), "control characters": strings.Repeat("\x01", 1<<20), "bytes": strings.Repeat("\xff", 1<<20), "many errors": manyErrors,
	} {
		log := openLog(t, wal.Options{})
		l := openLetters(t, log)
		var letters []DeadLetter
		for i := range 100 {
			err := new(event.Decoder).Decode([]byte(record), new(event.Event))
			d := newDeadLetter(event.Position{Offset: int64(i)}, 0, []byte(record), err)
			for range 5000 {
				d.Headers = append(d.Headers, stream.Header{Key: "\x01", Value: []byte("\x01\x01")})
			}
			letters = append(letters, d)
		}
		if err := l.Append(t.Context(), letters); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		d, ok, err := l.Get(t.Context(), event.Position{Offset: 99})
		if err != nil || !ok || l.Count() != 100 {
			t.Fatalf("%s: %v, %t; %d letters", name, err, ok, l.Count())
		}
		if b, err := json.Marshal(d); err != nil || len(b) > limit {
			t.Errorf("%s: a letter takes %d bytes (%v)", name, len(b), err)
		}
		if !strings.HasPrefix(record, string(d.Record)) || len(d.Headers)+d.HeadersCut != 5000 || d.HeadersCut == 0 {
			t.Errorf("%s: %d headers kept and %d cut; record begins %.10q", name, len(d.Headers), d.HeadersCut, d.Record)
		}
		if whole := len(d.Record) == len(record); whole == (d.RecordBytes > 0) || !whole && d.RecordBytes != len(record) {
			t.Errorf("%s: %d bytes kept of %d, and the letter says of %d", name, len(d.Record), len(record), d.RecordBytes)
		}
	}
}

// TestLettersOfAnotherStream: positions of one stream say nothing about the
// records of another, which would be left out for having a letter already.
func TestLettersOfAnotherStream(t *testing.T) {
	dead, first := openLog(t, wal.Options{}), openLog(t, wal.Options{})
	put(t, first, []byte("no event"), []byte("nor this"))
	x, stop := start(t, Options{Stream: first, Store: newCellar(), DeadLetters: openLetters(t, dead)})
	if err := errors.Join(x.Drain(t.Context()), stop()); err != nil {
		t.Fatal(err)
	}
	if _, err := New(t.Context(), Options{Stream: first, Store: newCellar(), DeadLetters: openLetters(t, dead)}); err != nil {
		t.Errorf("over the same stream: %v", err)
	}
	second := openLog(t, wal.Options{})
	_, err := New(t.Context(), Options{Stream: second, Store: newCellar(), DeadLetters: openLetters(t, dead)})
	if want := "the dead letters are of stream " + first.ID().String(); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("over another: %v, want %q", err, want)
	}
}
