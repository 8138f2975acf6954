package index

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/stream"
	"github.com/daybook-log/daybook/stream/wal"
)

// publisher puts events into a log as ingest does, without its look for copies:
// that is the index's.
type publisher struct {
	log  *wal.Log
	fail error
}

func (p *publisher) Publish(ctx context.Context, e *event.Event) (event.Position, error) {
	if p.fail != nil {
		return event.Position{}, p.fail
	}
	b := new(stream.Batch)
	b.Add(stream.Key{}, event.AppendCanonical(nil, e))
	err := p.log.Append(ctx, b)
	return b.Position(0), err
}

const nearly = `{"user_id":"alice","action":"a"}`                        // lacks a resource
const whole = `{"user_id":"alice","action":"a","resource":"document/1"}` // corrected

// letters returns dead letters with the letters 0-0, 0-1, … of these records,
// and the log they lie in.
func lettersOf(t *testing.T, records ...string) (*DeadLetters, *wal.Log) {
	t.Helper()
	dead := openLog(t, wal.Options{})
	l := openLetters(t, dead)
	for i, r := range records {
		err := new(event.Decoder).Decode([]byte(r), new(event.Event))
		if err == nil {
			err = errors.New("an earlier version refused it")
		}
		if err := l.Append(t.Context(), []DeadLetter{newDeadLetter(event.Position{Offset: int64(i)}, 7, []byte(r), err)}); err != nil {
			t.Fatal(err)
		}
	}
	return l, dead
}

func end(t *testing.T, log *wal.Log) int64 {
	t.Helper()
	e, err := log.End(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return e.At(0)
}

func TestReplay(t *testing.T) {
	l, dead := lettersOf(t, nearly, whole, "\xff")
	log := openLog(t, wal.Options{})
	p := &publisher{log: log}
	at := func(offset int64) event.Position { return event.Position{Offset: offset} }

	if _, err := l.Replay(t.Context(), p, at(9), nil); !errors.Is(err, ErrNoLetter) {
		t.Errorf("no letter: %v", err)
	}
	d, err := l.Replay(t.Context(), p, at(0), nil)
	if faults, ok := errors.AsType[event.Errors](err); !ok || faults[0].Field != "resource" || d.State() != StateOpen {
		t.Errorf("as it is: %v, %s", err, d.State())
	}
	if l.Open() != 3 || end(t, log) != 0 {
		t.Fatalf("%d letters are open, %d events published", l.Open(), end(t, log))
	}
	for range 3 { // again, also after a restart: nothing more happens
		d, err := l.Replay(t.Context(), p, at(0), []byte(whole))
		if err != nil || d.State() != StateReplayed || d.Resolution.ReplayedTo != at(0) || end(t, log) != 1 || l.Open() != 2 {
			t.Errorf("corrected: %v, %+v; %d events published, %d letters open", err, d.Resolution, end(t, log), l.Open())
		}
		l = openLetters(t, dead)
	}
	if d, err := l.Replay(t.Context(), p, at(1), nil); err != nil || d.Resolution.ReplayedTo != at(1) {
		t.Errorf("an event by now: %v, %+v", err, d.Resolution)
	}
	for range 2 {
		if d, err := l.Discard(t.Context(), at(2)); err != nil || d.State() != StateDiscarded {
			t.Errorf("discard: %v, %s", err, d.State())
		}
	}
	var resolved *ResolvedError
	if _, err := l.Replay(t.Context(), p, at(2), []byte(whole)); !errors.As(err, &resolved) || resolved.State != StateDiscarded {
		t.Errorf("replay of a discarded letter: %v", err)
	}
	if _, err := l.Discard(t.Context(), at(0)); !errors.As(err, &resolved) || resolved.State != StateReplayed {
		t.Errorf("discard of a replayed letter: %v", err)
	}
	if l.Open() != 0 || l.Count() != 3 || end(t, log) != 2 {
		t.Errorf("%d of %d letters are open, %d events published", l.Open(), l.Count(), end(t, log))
	}
}

// TestReplayAgain: whatever step of a replay fails, trying again publishes the
// same event, which the index knows by its identity.
func TestReplayAgain(t *testing.T) {
	l, dead := lettersOf(t, nearly)
	log := openLog(t, wal.Options{})
	p := &publisher{log: log, fail: stream.ErrFull}
	if _, err := l.Replay(t.Context(), p, event.Position{}, []byte(whole)); !errors.Is(err, ErrNotTaken) || l.Open() != 1 {
		t.Errorf("the stream is full: %v, %d open", err, l.Open())
	}
	p.fail = nil
	broken := &flaky{Log: dead}
	broken.failures.Store(1)
	l = openLetters(t, broken)
	if _, err := l.Replay(t.Context(), p, event.Position{}, []byte(whole)); !errors.Is(err, ErrNotTaken) || l.Open() != 1 {
		t.Errorf("the dead-letter stream fails: %v, %d open", err, l.Open())
	}
	if _, err := l.Replay(t.Context(), p, event.Position{}, []byte(whole)); err != nil || l.Open() != 0 {
		t.Errorf("again: %v, %d open", err, l.Open())
	}
	store := newCellar()
	x, stop := start(t, Options{Stream: log, Store: store, DeadLetters: l})
	if err := x.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if s := x.Stats(); end(t, log) != 2 || s.Indexed != 1 || s.Duplicates != 1 {
		t.Errorf("%d records, %d events, %d copies", end(t, log), s.Indexed, s.Duplicates)
	}
	if e := store.rows[0]; e.ID.Version() != 8 || e.Timestamp != 7 {
		t.Errorf("the event has identity %s and timestamp %d, not its letter's", e.ID, e.Timestamp)
	}
}

// TestReplayOfTwoTenants: letters with one event_id of two tenants become two
// events.
func TestReplayOfTwoTenants(t *testing.T) {
	const event1 = `{"event_id":"0198c0de-0000-7000-8000-000000000001","user_id":"alice","action":"a","resource":"r","timestamp":"2026-11-24T10:00:00Z","tenant_id":`
	l, _ := lettersOf(t, event1+`"acme"}`, event1+`"other"}`, event1+`"acme"}`)
	log, store := openLog(t, wal.Options{}), newCellar()
	p := &publisher{log: log}
	for i := range int64(3) {
		if _, err := l.Replay(t.Context(), p, event.Position{Offset: i}, nil); err != nil {
			t.Fatal(err)
		}
	}
	x, _ := start(t, Options{Stream: log, Store: store, DeadLetters: l})
	drain(t, x)
	if got := store.offsets(); !slices.Equal(got, []int64{0, 1}) {
		t.Errorf("stored are %v, want the first two of three", got)
	}
}

// TestGetAmongMany finds every letter by the sparse index, as it was built while
// appending and as it is built on opening.
func TestGetAmongMany(t *testing.T) {
	dead := openLog(t, wal.Options{})
	l := openLetters(t, dead)
	for i := range 40 {
		var letters []DeadLetter
		for j := range 10 {
			n := 10*i + j
			letters = append(letters, newDeadLetter(event.Position{Partition: int32(n % 2), Offset: int64(3 * n)}, 0, fmt.Append(nil, n), errors.New("x")))
		}
		if err := l.Append(t.Context(), letters); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range []*DeadLetters{l, openLetters(t, dead)} {
		for n := range 400 {
			pos := event.Position{Partition: int32(n % 2), Offset: int64(3 * n)}
			if d, ok, err := l.Get(t.Context(), pos); err != nil || !ok || string(d.Record) != fmt.Sprint(n) {
				t.Fatalf("letter %v: %q, %t, %v", pos, d.Record, ok, err)
			}
			pos.Offset++
			if _, ok, err := l.Get(t.Context(), pos); err != nil || ok {
				t.Fatalf("no letter at %v: %t, %v", pos, ok, err)
			}
		}
	}
}

// TestReplayOfABeginning: the beginning of a record that is too long is never
// taken for an event.
func TestReplayOfABeginning(t *testing.T) {
	l, _ := lettersOf(t, whole+strings.Repeat(" ", event.MaxSize)+"and more")
	p := &publisher{log: openLog(t, wal.Options{})}
	_, err := l.Replay(t.Context(), p, event.Position{}, nil)
	if faults, ok := errors.AsType[event.Errors](err); !ok || !strings.Contains(faults[0].Reason, "of which the first 65536 are kept") {
		t.Errorf("as it is: %v", err)
	}
	if _, err := l.Replay(t.Context(), p, event.Position{}, []byte(whole)); err != nil || l.Open() != 0 {
		t.Errorf("corrected: %v, %d open", err, l.Open())
	}
}

func TestSelection(t *testing.T) {
	l, _ := lettersOf(t, nearly, "no JSON", nearly, "no JSON")
	for _, offset := range []int64{0, 1} {
		if _, err := l.Discard(t.Context(), event.Position{Offset: offset}); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		which Selection
		want  string
	}{
		{Selection{}, "0-0 0-1 0-2 0-3"},
		{Selection{State: StateOpen}, "0-2 0-3"},
		{Selection{State: StateDiscarded}, "0-0 0-1"},
		{Selection{State: StateReplayed}, ""},
		{Selection{Class: ClassSyntax}, "0-1 0-3"},
		{Selection{State: StateOpen, Class: ClassField}, "0-2"},
	}
	for _, tt := range tests {
		letters, _, err := l.List(t.Context(), tt.which, LetterCursor{}, 10)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, d := range letters {
			ids = append(ids, LetterID(d.Position).String())
		}
		if got := strings.Join(ids, " "); got != tt.want {
			t.Errorf("%+v: %s, want %s", tt.which, got, tt.want)
		}
	}
}

func TestParseLetterID(t *testing.T) {
	for text, want := range map[string]event.Position{"0-42": {Offset: 42}, "7-0": {Partition: 7}, "1-9223372036854775807": {Partition: 1, Offset: 1<<63 - 1}} {
		if id, err := ParseLetterID(text); err != nil || event.Position(id) != want || id.String() != text {
			t.Errorf("%s: %v, %v", text, id, err)
		}
	}
	for _, text := range []string{"", "42", "-", "0-", "-1", "0--1", "0-1-2", "2147483648-0", "0-9223372036854775808", "+1-2"} {
		if id, err := ParseLetterID(text); err == nil {
			t.Errorf("%q is the id %v", text, id)
		}
	}
}

// FuzzEntry: no record of the dead-letter stream makes reading it panic.
func FuzzEntry(f *testing.F) {
	f.Add([]byte(`{"partition":0,"offset":1,"received_at":"1970-01-01T00:00:00Z","class":"field","errors":[],"record":"x"}`))
	f.Add([]byte(`{"partition":0,"offset":1,"resolution":"replayed","resolved_at":"1970-01-01T00:00:00Z","event_id":"0198c0de-0000-7000-8000-000000000001","replayed_to":{"partition":0,"offset":3}}`))
	f.Fuzz(func(t *testing.T, record []byte) {
		d, err := decodeEntry(record)
		if err != nil || d.Resolution == nil {
			return
		}
		b, err := d.Resolution.encode(d.Position)
		if err != nil {
			return // a year that JSON has no form for
		}
		if again, err := decodeEntry(b); err != nil || again.State() != d.State() || again.Position != d.Position {
			t.Errorf("%s was written as %s: %v", record, b, err)
		}
	})
}
