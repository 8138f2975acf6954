package kafka

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/stream"
)

// What a broker sends of one partition becomes batches and gaps.
func TestTake(t *testing.T) {
	// Each record is its offset, when it was taken, and its value; "!" is a marker.
	type rec struct {
		offset, ms int64
		value      string
	}
	tests := []struct {
		name    string
		from    int64
		records []rec
		want    string
		next    int64
	}{
		{"nothing", 5, nil, "", 5},
		{"one time, one batch", 5, []rec{{5, 1, "a"}, {6, 1, "b"}, {7, 1, "c"}}, "5@1:a,b,c", 8},
		{"a time, a batch", 5, []rec{{5, 1, "a"}, {6, 1, "b"}, {7, 2, "c"}}, "5@1:a,b 7@2:c", 8},
		{"a hole at the beginning", 3, []rec{{5, 1, "a"}}, "gap3-5 5@1:a", 6},
		{"a hole between", 5, []rec{{5, 1, "a"}, {9, 1, "b"}}, "5@1:a gap6-9 9@1:b", 10},
		{"a marker between", 5, []rec{{5, 1, "a"}, {6, 1, "!"}, {7, 1, "b"}}, "5@1:a 7@1:b", 8},
		{"a marker last", 5, []rec{{5, 1, "a"}, {6, 1, "!"}}, "5@1:a 7@0:", 7},
		{"markers only", 5, []rec{{5, 1, "!"}, {6, 1, "!"}}, "7@0:", 7},
		{"a hole before a marker", 5, []rec{{7, 1, "!"}}, "gap5-7 8@0:", 8},
	}
	for _, tt := range tests {
		r := &reader{next: event.Positions{0, tt.from}}
		var records []*kgo.Record
		for _, in := range tt.records {
			record := &kgo.Record{Partition: 1, Offset: in.offset, Timestamp: time.UnixMilli(in.ms), Value: []byte(in.value)}
			if in.value == "!" {
				record.Attrs = kgo.NewRecordAttrs(kgo.RecordAttrsOpts{Control: true})
			}
			records = append(records, record)
		}
		r.take(1, records)
		var got []string
		for _, f := range r.ready {
			if f.gap != nil {
				got = append(got, fmt.Sprintf("gap%d-%d", f.gap.From, f.gap.To))
				continue
			}
			var values []string
			for i := range f.batch.Len() {
				values = append(values, string(f.batch.Value(i)))
			}
			got = append(got, fmt.Sprintf("%d@%d:%s", f.batch.Base, f.batch.ReceivedAt/1e6, strings.Join(values, ",")))
		}
		if s := strings.Join(got, " "); s != tt.want || r.next[1] != tt.next {
			t.Errorf("%s: %q, next %d; want %q, %d", tt.name, s, r.next[1], tt.want, tt.next)
		}
	}
}

func TestNanoseconds(t *testing.T) {
	for ms, want := range map[int64]int64{0: 0, 1: 1e6, -1: 0, math.MinInt64: 0, math.MaxInt64: 9223372036854 * 1e6} {
		if got := nanoseconds(time.UnixMilli(ms)); got != want {
			t.Errorf("%d ms: %d, want %d", ms, got, want)
		}
	}
}

// until reads up to the stream's end, and returns the batches that have records.
func until(t *testing.T, s *Stream, r stream.Reader, at event.Positions) []*stream.Batch {
	t.Helper()
	ctx := waiting(t)
	end, err := s.End(ctx)
	if err != nil {
		t.Fatal(err)
	}
	var batches []*stream.Batch
	for !at.Covers(end) {
		b, err := r.Next(ctx)
		if err != nil {
			t.Fatalf("Next: %v", err)
		}
		if b.Base < at.At(b.Partition) {
			t.Fatalf("read offset %d of partition %d after %d", b.Base, b.Partition, at.At(b.Partition)-1)
		}
		at = at.Advance(b.Partition, b.Base+int64(b.Len()))
		if b.Len() > 0 {
			batches = append(batches, b)
		}
	}
	return batches
}

// Records of other programs are handed on as they are.
func TestForeignRecords(t *testing.T) {
	c := single.Cluster(t)
	o := options(t, c, 1)
	s := mustOpen(t, o)
	foreign := c.Client(t, kgo.DefaultProduceTopic(o.Topic))
	records := []*kgo.Record{
		{Value: []byte("no key")},
		{Key: []byte{0xff}, Value: []byte{0, 1, 0xfe}},
		{Key: []byte("a tombstone")},
		{Value: []byte("with headers"), Headers: []kgo.RecordHeader{{Key: "trace", Value: []byte{1, 2}}, {Key: "empty"}}},
		{Value: []byte("an old time"), Timestamp: time.Unix(1, 0)},
	}
	before := time.Now()
	if err := foreign.ProduceSync(waiting(t), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	r, err := s.Reader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var values []string
	var headers [][]stream.Header
	for _, b := range until(t, s, r, nil) {
		if at := time.Unix(0, b.ReceivedAt); at.Before(before.Add(-time.Second)) || at.After(time.Now().Add(time.Second)) {
			t.Errorf("received at %s", at)
		}
		for i := range b.Len() {
			values = append(values, string(b.Value(i)))
			if b.Headers != nil && b.Headers[i] != nil {
				headers = append(headers, b.Headers[i])
			}
		}
	}
	if want := []string{"no key", "\x00\x01\xfe", "", "with headers", "an old time"}; !reflect.DeepEqual(values, want) {
		t.Errorf("read %q, want %q", values, want)
	}
	if want := [][]stream.Header{{{Key: "trace", Value: []byte{1, 2}}, {Key: "empty"}}}; !reflect.DeepEqual(headers, want) {
		t.Errorf("read headers %q, want %q", headers, want)
	}
}

// Whoever waits for the stream's end gets there, though no record lies before it.
func TestTransactionMarkers(t *testing.T) {
	c := single.Cluster(t)
	o := options(t, c, 1)
	s := mustOpen(t, o)
	foreign := c.Client(t, kgo.DefaultProduceTopic(o.Topic), kgo.TransactionalID(o.Topic))
	for i, end := range []kgo.TransactionEndTry{kgo.TryCommit, kgo.TryAbort, kgo.TryCommit} {
		if err := foreign.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := foreign.ProduceSync(waiting(t), kgo.StringRecord(fmt.Sprint(i))).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := foreign.EndTransaction(waiting(t), end); err != nil {
			t.Fatal(err)
		}
	}
	r, err := s.Reader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var values []string
	for _, b := range until(t, s, r, nil) {
		values = append(values, string(b.Value(0)))
	}
	if want := []string{"0", "1", "2"}; !reflect.DeepEqual(values, want) {
		t.Errorf("read %q, want %q", values, want)
	}
}

// A reader goes on in partitions that are added while it reads.
func TestPartitionsAdded(t *testing.T) {
	c := single.Cluster(t)
	o := options(t, c, 2)
	s := mustOpen(t, o)
	r, err := s.Reader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	foreign := c.Client(t, kgo.DefaultProduceTopic(o.Topic), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	produce := func(partition int32) {
		t.Helper()
		record := &kgo.Record{Partition: partition, Value: fmt.Append(nil, partition)}
		if err := foreign.ProduceSync(waiting(t), record).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	produce(1)
	at := event.Positions{}
	for _, b := range until(t, s, r, nil) {
		at = at.Advance(b.Partition, b.Base+int64(b.Len()))
	}
	if _, err := c.Admin().UpdatePartitions(t.Context(), 5, o.Topic); err != nil {
		t.Fatal(err)
	}
	foreign.PurgeTopicsFromProducing(o.Topic)
	produce(4)
	ctx := waiting(t)
	b, err := r.Next(ctx)
	if err != nil || b.Position(0) != (event.Position{Partition: 4}) || string(b.Value(0)) != "4" {
		t.Fatalf("read %v, %v; want what is in partition 4", b, err)
	}
	if n := s.Stats().Partitions; n != 5 {
		t.Errorf("Stats has %d partitions", n)
	}
}

// A start that lies beyond the end tells of a log that was cut off.
func TestTruncated(t *testing.T) {
	s := mustOpen(t, options(t, single.Cluster(t), 1))
	r, err := s.Reader(event.Positions{7})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if b, err := r.Next(waiting(t)); err == nil || !strings.Contains(err.Error(), "partition 0 was read up to offset 7") {
		t.Errorf("Next = %v, %v", b, err)
	}
	if _, err := s.Reader(event.Positions{0, 0}); err == nil || !strings.Contains(err.Error(), "it has 1") {
		t.Errorf("a reader of two partitions: %v", err)
	}
}

func TestRefused(t *testing.T) {
	o := options(t, single.Cluster(t), 1)
	o.MaxWaitingBytes, o.MaxBatchBytes = 1000, 5<<20
	s := mustOpen(t, o)
	big := &stream.Batch{}
	big.Add(stream.Key{}, make([]byte, maxMessage))
	if err := s.Append(waiting(t), big); err == nil || !strings.Contains(err.Error(), "record 0 takes") {
		t.Errorf("a record that is too large: %v", err)
	}
	big = &stream.Batch{}
	for range 6 {
		big.Add(stream.Key{}, make([]byte, maxMessage-1000))
	}
	if err := s.Append(waiting(t), big); err == nil || !strings.Contains(err.Error(), "at most 5242880") {
		t.Errorf("a batch that is too large: %v", err)
	}
	s.mu.Lock()
	s.waiting = 999
	s.mu.Unlock()
	small := &stream.Batch{}
	small.Add(stream.Key{}, []byte("ab"))
	if err := s.Append(waiting(t), small); !errors.Is(err, stream.ErrOverloaded) {
		t.Errorf("an append with others waiting: %v; want ErrOverloaded", err)
	}
	if end, err := s.End(waiting(t)); err != nil || end.At(0) != 0 {
		t.Errorf("the end is %v, %v; nothing was to be appended", end, err)
	}
}

// A group's offsets follow what was released.
func TestRelease(t *testing.T) {
	c := single.Cluster(t)
	o := options(t, c, 2)
	o.Group = o.Topic
	s := mustOpen(t, o)
	s.Release(event.Positions{3, 5})
	s.Release(event.Positions{2, 6}) // never back
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	offsets, err := c.Admin().FetchOffsets(waiting(t), o.Group)
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range []int64{3, 6} {
		if got, _ := offsets.Lookup(o.Topic, int32(p)); got.At != want {
			t.Errorf("partition %d: the group stands at %d, want %d", p, got.At, want)
		}
	}
}

// Other clients choose the same partition for the same user.
func TestKey(t *testing.T) {
	c := single.Cluster(t)
	o := options(t, c, 7)
	s := mustOpen(t, o)
	foreign := c.Client(t, kgo.DefaultProduceTopic(o.Topic)) // the default is Kafka's murmur2
	for i := range 40 {
		user := fmt.Sprint("user-", i)
		b := &stream.Batch{}
		b.Add(stream.Key{Tenant: "acme", User: user}, []byte("ours"))
		theirs := &kgo.Record{Key: []byte("acme/" + user), Value: []byte("theirs")}
		err := errors.Join(s.Append(waiting(t), b), foreign.ProduceSync(waiting(t), theirs).FirstErr())
		if err != nil || b.Position(0).Partition != theirs.Partition {
			t.Fatalf("%s: ours is in partition %d, theirs in %d, %v", user, b.Position(0).Partition, theirs.Partition, err)
		}
	}
}
