package storetest

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
)

// start is about when the random events happen.
const start = 1_795_000_000_000_000_000 // 2026-11-18

// Source makes the events of a stream. Values repeat, are absent, and are
// unique, as in a real log; timestamps nearly rise, repeat, and now and then lie
// far off; IDs are of several kinds, and some are in use by both tenants.
type Source struct {
	rng   *rand.Rand
	now   int64
	next  event.Positions
	Parts int

	ids  []event.ID              // that were made
	used map[event.Identity]bool // of all events
}

// NewSource returns a source over the given number of partitions.
func NewSource(rng *rand.Rand, partitions int) *Source {
	return &Source{rng: rng, now: start, next: make(event.Positions, partitions), Parts: partitions, used: make(map[event.Identity]bool)}
}

// Next returns n events and the position after them.
func (s *Source) Next(n int) ([]event.Event, event.Positions) {
	events := make([]event.Event, n)
	for i := range events {
		events[i] = s.event()
	}
	return events, s.next.Clone()
}

// Skip leaves out a position, as an event that was a duplicate does.
func (s *Source) Skip() event.Positions {
	s.next[s.rng.IntN(s.Parts)]++
	return s.next.Clone()
}

func (s *Source) event() event.Event {
	r := s.rng
	s.now += int64(r.IntN(3)) * 500_000
	p := r.IntN(s.Parts)
	e := event.Event{
		ID: s.id(), Timestamp: s.now, ReceivedAt: s.now + int64(r.IntN(1000)), Partition: int32(p), Offset: s.next[p],
		UserID: pick(r, "alice", "bob", "carol", "Dörte", fmt.Sprint("user-", r.IntN(1000))), TenantID: pick(r, "default", "acme"),
		Action: pick(r, "document.read", "document.delete", "login", "user.create"), Resource: pick(r, "document/42", "document", fmt.Sprint("invoice/", r.IntN(100))),
		Outcome: pick(r, "success", "failure", "unknown"), Operation: pick(r, "read", "delete", "other"), UserType: "user",
		RequestID: maybe(r, fmt.Sprintf("%016x", r.Uint64())), SourceIP: maybe(r, pick(r, "10.0.0.1", "10.1.2.3", "2001:db8::1")),
		Source: maybe(r, "api"), UserAgent: maybe(r, "curl/8.0"), Reason: maybe(r, pick(r, "no Rights", "expired")),
		Labels:   maybe(r, pick(r, `{"env":"prod"}`, `{"cost centre":"7","env":"dev"}`)),
		Metadata: maybe(r, fmt.Sprintf(`{"note":"Größe \"x\"","order":{"total":%d}}`, r.IntN(200))),
		Changes:  maybe(r, `[{"new":"b@example.org","old":null,"path":"email"}]`),
	}
	switch r.IntN(12) {
	case 0:
		e.Timestamp -= int64(r.IntN(50_000_000))
	case 1:
		e.Timestamp = s.now - int64(r.IntN(1000))*3_600_000_000_000
	case 2:
		e.Timestamp += 5_000_000
	}
	s.next[p]++
	s.share(&e)
	return e
}

// share gives e, now and then, an ID that only another tenant has used.
func (s *Source) share(e *event.Event) {
	if s.rng.IntN(8) == 0 && len(s.ids) > 0 {
		other := event.Identity{TenantID: e.TenantID, ID: s.ids[s.rng.IntN(len(s.ids))]}
		if !s.used[other] {
			e.ID = other.ID
		}
	}
	s.ids = append(s.ids, e.ID)
	s.used[e.Identity()] = true
}

// id makes a UUIDv7 mostly; of the rest, some with a time far off.
func (s *Source) id() event.ID {
	var id event.ID
	binary.BigEndian.PutUint64(id[8:], s.rng.Uint64())
	binary.BigEndian.PutUint64(id[:], uint64(s.now/1_000_000)<<16|s.rng.Uint64()>>48)
	id[6] = id[6]&0x0f | 0x70
	switch s.rng.IntN(20) {
	case 0:
		id[6] = id[6]&0x0f | 0x40
	case 1:
		binary.BigEndian.PutUint32(id[:], s.rng.Uint32())
	}
	id[8] = id[8]&0x3f | 0x80
	return id
}

func pick(r *rand.Rand, vs ...string) string { return vs[r.IntN(len(vs))] }

func maybe(r *rand.Rand, v string) string {
	if r.IntN(2) == 0 {
		return ""
	}
	return v
}

// RandomFilter returns a filter over what Source makes, events among it; nil sometimes.
func RandomFilter(r *rand.Rand, events []event.Event) filter.Expr {
	if r.IntN(6) == 0 {
		return nil
	}
	return randomNode(r, events, 3)
}

func randomNode(r *rand.Rand, events []event.Event, depth int) filter.Expr {
	if depth > 0 {
		switch r.IntN(5) {
		case 0:
			return filter.And{randomNode(r, events, depth-1), randomNode(r, events, depth-1)}
		case 1:
			return filter.Or{randomNode(r, events, depth-1), randomNode(r, events, depth-1)}
		case 2:
			return filter.Not{X: randomNode(r, events, depth-1)}
		}
	}
	e := &event.Event{ID: event.ID{6: 0x40, 15: 1}}
	if len(events) > 0 {
		e = &events[r.IntN(len(events))]
	}
	text := pick(r,
		"user_id:alice", "user_id:(alice or bob or Dörte)", "user_id:user-1*", "user_id:nobody", "tenant_id:acme",
		"action:document.*", "action:(login or *.create)", "resource:document/42", "resource_type:invoice",
		"outcome:failure", "-outcome:success", "source_ip:10.0.0.0/8", "source_ip:*", "user_agent:*curl*",
		"request_id:"+e.RequestID+"*", "request_id:*", "labels.env:prod", `labels."cost centre":*`, "metadata.order.total:>100", "metadata.order.total:7..9",
		"changes.path:email", "changes.old:*", `"rights"`, "größe", "EXAMPLE.org", "event_id:"+e.ID.String(), "event_id:"+e.ID.String()[:4]+"*",
		"timestamp:>="+string(event.AppendTime(nil, e.Timestamp)), "received_at:<"+string(event.AppendTime(nil, e.ReceivedAt)),
		fmt.Sprint("offset:>", e.Offset), "partition:1", "*", "-*", "session_id:*")
	return parse(text)
}

func parse(text string) filter.Expr {
	x, err := filter.Parse(text)
	if err != nil {
		panic(fmt.Sprintf("%s: %v", text, err))
	}
	return x
}
