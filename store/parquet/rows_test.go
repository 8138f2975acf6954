package parquet_test

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/store/column"
	"github.com/daybook-log/daybook/store/parquet"
)

// columns turns events into the columns of a row group.
func columns(events []event.Event) *column.Rows {
	r := &column.Rows{N: len(events)}
	var text [event.NumFields]*column.Builder
	for f := event.UserID; f <= event.Metadata; f++ {
		text[f] = column.NewBuilder(len(events))
	}
	for i := range events {
		e := &events[i]
		r.IDs = append(r.IDs, e.ID)
		r.Timestamps = append(r.Timestamps, e.Timestamp)
		r.ReceivedAt = append(r.ReceivedAt, e.ReceivedAt)
		r.Partitions = append(r.Partitions, e.Partition)
		r.Offsets = append(r.Offsets, e.Offset)
		for f := event.UserID; f <= event.Metadata; f++ {
			text[f].Append(e.Text(f))
		}
	}
	for f := event.UserID; f <= event.Metadata; f++ {
		r.Text[f] = text[f].Snapshot()
	}
	return r
}

// eventsOf turns columns back into events.
func eventsOf(r *column.Rows) []event.Event {
	es := make([]event.Event, r.N)
	for i := range es {
		r.Event(i, event.AllFields, &es[i])
	}
	return es
}

// realistic returns n events of a busy service, sorted by time: about 410 bytes
// of JSON each, of 10,000 users.
func realistic(n int, seed uint64) []event.Event {
	r := rand.New(rand.NewPCG(seed, 1))
	actions := []string{"document.read", "document.update", "document.share", "document.delete", "user.login",
		"user.logout", "user.invite", "folder.create", "folder.read", "comment.create", "comment.update",
		"export.start", "api_key.create", "role.grant", "billing.view", "search.run", "file.upload", "file.download"}
	operations := []string{"read", "update", "update", "delete", "login", "other", "create", "create", "read", "create",
		"update", "other", "create", "update", "read", "read", "create", "read"}
	now := int64(1_795_000_000_000_000_000)
	const received = 1_795_000_000_050_000_000
	skewed := func(n int) int { return int(float64(n) * r.Float64() * r.Float64()) }
	es := make([]event.Event, n)
	trace := ""
	for i := range es {
		now += int64(r.ExpFloat64()*3300) / 1000 * 1000 // µs, 300,000 a second
		user := skewed(10_000)
		action := r.IntN(len(actions))
		if r.IntN(3) == 0 || i == 0 {
			trace = fmt.Sprintf("%016x%016x", r.Uint64(), r.Uint64())
		}
		e := &es[i]
		binary.BigEndian.PutUint64(e.ID[:], uint64(now/1e6)<<16|0x7000|uint64(now/1000%1000*4)&0xfff)
		binary.BigEndian.PutUint64(e.ID[8:], r.Uint64()>>2|1<<63)
		e.Timestamp = now
		e.ReceivedAt = received + (now-1_795_000_000_000_000_000)/4_000_000*4_000_000
		e.Offset = 1_000_000 + int64(i)
		e.UserID = fmt.Sprintf("user-%05d", user)
		e.Action = actions[action]
		e.Operation = operations[action]
		e.Resource = fmt.Sprintf("%s/%d", strings.Split(e.Action, ".")[0], 100_000+skewed(40_000))
		e.TenantID = fmt.Sprintf("tenant-%02d", user%20)
		e.Outcome = []string{"success", "success", "success", "success", "success", "success", "success", "success", "failure", "denied"}[r.IntN(10)]
		e.Source = []string{"web", "api", "worker", "mobile-gateway"}[action%4]
		e.UserType = []string{"user", "service"}[user%10/9]
		e.SourceIP = fmt.Sprintf("10.%d.%d.%d", user%7, user/40%256, user%40)
		e.UserAgent = fmt.Sprintf("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/%d.0", 100+user%40)
		e.SessionID = fmt.Sprintf("s-%012x", uint64(user)*0x9e3779b97f4a7c15>>16)
		e.RequestID = fmt.Sprintf("req-%016x", r.Uint64())
		e.TraceID = trace
		if e.Outcome == "failure" {
			e.ErrorCode = fmt.Sprint("E", 400+r.IntN(20))
			e.Reason = "quota exceeded"
		}
		e.Metadata = fmt.Sprintf(`{"duration_ms":%d,"order":{"items":%d,"total":%d.%02d},"region":"eu-%d"}`,
			r.IntN(900), r.IntN(9), r.IntN(5000), r.IntN(100), user%3)
	}
	return es
}

// odd returns n events with everything that a store may meet.
func odd(n int, seed uint64) []event.Event {
	r := rand.New(rand.NewPCG(seed, 2))
	es := make([]event.Event, n)
	ts := r.Int64N(1<<40) - 1<<39
	for i := range es {
		e := &es[i]
		for b := range e.ID {
			e.ID[b] = byte(r.Uint32())
		}
		ts += r.Int64N(1 << (r.IntN(50) + 1))
		e.Timestamp, e.ReceivedAt = ts, int64(r.Uint64())
		e.Partition, e.Offset = int32(r.Uint32()), int64(r.Uint64())
		for f := event.UserID; f <= event.Metadata; f++ {
			e.SetText(f, oddText(r, int(seed)+int(f), i))
		}
	}
	return es
}

// oddText returns a value of a column of one of several kinds.
func oddText(r *rand.Rand, kind, i int) string {
	switch kind % 9 {
	case 0:
		return ""
	case 1:
		return "constant"
	case 2:
		return fmt.Sprint("unique-", i, "-", r.Uint64())
	case 3:
		if r.IntN(50) > 0 {
			return ""
		}
		return fmt.Sprint("rare-", i)
	case 4:
		return []string{"", "read", "write", "Grüße", "日本語", "𝄞", "\x00", "\U0010ffff"}[r.IntN(8)]
	case 5:
		return strings.Repeat("x", 1+r.IntN(30))
	case 6:
		if i < 100 {
			return ""
		}
		return fmt.Sprint("late-", i/50)
	case 7:
		if r.IntN(200) == 0 {
			return strings.Repeat("\U0010ffff", 16<<10)
		}
		return fmt.Sprint("short-", r.IntN(1000))
	}
	return strings.Repeat("ab", i%3)
}

// write writes the row groups as a file.
func write(t testing.TB, groups ...*column.Rows) ([]byte, parquet.Info) {
	t.Helper()
	var b bytes.Buffer
	w := parquet.NewWriter(&b)
	for _, g := range groups {
		if err := w.WriteRowGroup(g); err != nil {
			t.Fatal(err)
		}
	}
	info, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	if info.Size != int64(b.Len()) {
		t.Fatalf("size %d of a file of %d bytes", info.Size, b.Len())
	}
	return b.Bytes(), info
}

func open(t testing.TB, b []byte, info parquet.Info, cache *parquet.Cache) *parquet.File {
	t.Helper()
	f, err := parquet.Open("test.parquet", bytes.NewReader(b), info, cache)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// same fails the test where got is not want.
func same(t *testing.T, got, want []event.Event) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d events, want %d", len(got), len(want))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("row %d is\n%.2000q\nwant\n%.2000q", i, fmt.Sprint(got[i]), fmt.Sprint(want[i]))
		}
	}
}

func byTime(a, b event.Event) int {
	return cmp.Or(cmp.Compare(a.Timestamp, b.Timestamp), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
}
