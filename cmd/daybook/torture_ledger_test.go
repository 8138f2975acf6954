//go:build unix

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/client"
)

// ledger is what publishers and tail know of every event. Events are numbered,
// and all of event n is made from the ledger's seed and n, its identity too, so
// that what comes back can be held against what was sent to the last byte, and
// the ledger takes eight bytes an event.
type ledger struct {
	seed uint64

	mu     sync.Mutex
	acked  []uint32 // guarded by mu: by number, 1 + the offset in its receipt; 0: not acknowledged
	tailed []uint32 // guarded by mu: by number, 1 + the offset at which the tail had it; 0: it had not
	next   int64    // guarded by mu: 1 + the greatest offset that the tail had
	wrong  int      // guarded by mu: receipts of one event that name different positions
	total  struct{ acked, tailed int }
}

// first is the time of event 0.
var first = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// twin is the tenant of one event in eight, which has the event_id of the event
// before it.
const twin = "twin"

// tenant returns the tenant of event n.
func tenant(n uint64) string {
	if n%8 == 1 {
		return twin
	}
	return event.DefaultTenant
}

// id returns the event_id of event n: a UUIDv7 that rises with n, or for one in
// 16 a random UUIDv4. Its last 40 bits are n, or for a twin what they are for the
// event before.
func (l *ledger) id(n uint64) (id event.ID) {
	if tenant(n) == twin {
		n--
	}
	r := rand.NewPCG(l.seed, n)
	binary.BigEndian.PutUint64(id[8:], 1<<63|r.Uint64()>>42<<40|n)
	ms := uint64(first.UnixMilli()) + n>>12
	binary.BigEndian.PutUint64(id[:8], ms<<16|0x7000|n&0xfff)
	if n%16 == 0 {
		binary.BigEndian.PutUint64(id[:8], r.Uint64()&^0xf000|0x4000)
	}
	return id
}

// draw returns a random duration below d.
func draw(r *rand.Rand, d time.Duration) time.Duration { return time.Duration(r.Int64N(int64(d))) }

// number is the inverse of tenant and id. The result means nothing for another's
// event.
func number(e *event.Event) uint64 {
	n := binary.BigEndian.Uint64(e.ID[8:]) & (1<<40 - 1)
	if e.TenantID == twin {
		n++
	}
	return n
}

// append appends event n as JSON.
func (l *ledger) append(dst []byte, n uint64) []byte {
	r := rand.New(rand.NewPCG(l.seed, n))
	at := first.Add(time.Duration(n)*time.Millisecond + draw(r, time.Second))
	pad := make([]byte, r.IntN(60))
	if r.IntN(256) == 0 {
		pad = make([]byte, r.IntN(24<<10))
	}
	for i := range pad {
		pad[i] = byte(r.Uint32())
	}
	return fmt.Appendf(dst, `{"event_id":%q,"tenant_id":%q,"timestamp":%q,"user_id":"u%d","action":"thing.touch","resource":"thing/%d","labels":{"env":"e%d"},"metadata":{"n":%d,"pad":"%x"}}`,
		l.id(n), tenant(n), at.Format(time.RFC3339Nano), r.IntN(50), r.IntN(10_000), n%3, n, pad)
}

// publish gives the next k events their numbers.
func (l *ledger) publish(k int) (ns []uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n := range k {
		ns = append(ns, uint64(len(l.acked)+n))
	}
	l.acked = append(l.acked, make([]uint32, k)...)
	l.tailed = append(l.tailed, make([]uint32, k)...)
	return ns
}

// acknowledge takes down the receipts of events.
func (l *ledger) acknowledge(ns []uint64, receipts []client.EventResult) error {
	if len(receipts) != len(ns) {
		return fmt.Errorf("%d receipts for %d events", len(receipts), len(ns))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, r := range receipts {
		n, at := ns[i], uint32(r.Offset+1)
		if r.EventID != l.id(n).String() || r.Partition != 0 || len(r.Errors) > 0 {
			return fmt.Errorf("event %d %s has the receipt %+v", n, l.id(n), r)
		}
		switch {
		case l.acked[n] == 0:
			l.acked[n] = at
			l.total.acked++
		case l.acked[n] != at || !r.Duplicate:
			l.wrong++
		}
	}
	return nil
}

// returned decodes an event that came back, with its offset, which the API writes
// last. dec accepts what Daybook sets and ignores it.
func returned(dec *event.Decoder, data []byte) (*event.Event, error) {
	e := new(event.Event)
	if err := dec.Decode(data, e); err != nil {
		return nil, fmt.Errorf("%w: %s", err, data)
	}
	const name = `"partition":0,"offset":`
	at := bytes.LastIndex(data, []byte(name))
	if at < 0 {
		return nil, fmt.Errorf("no position in %s", data)
	}
	var err error
	e.Offset, err = strconv.ParseInt(string(bytes.TrimSuffix(data[at+len(name):], []byte("}"))), 10, 64)
	return e, err
}

// follow takes down an event that the tail had.
func (l *ledger) follow(e *event.Event) error {
	n, err := l.verify(e)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.Offset < l.next {
		return fmt.Errorf("event %d has offset %d; the tail had come to %d", n, e.Offset, l.next)
	}
	if l.tailed[n] != 0 {
		return fmt.Errorf("event %d is there at offset %d and at %d", n, l.tailed[n]-1, e.Offset)
	}
	l.tailed[n], l.next = uint32(e.Offset+1), e.Offset+1
	l.total.tailed++
	return nil
}

// verify returns the number of an event that came back, and an error unless it
// is byte for byte what was sent.
func (l *ledger) verify(e *event.Event) (n uint64, err error) {
	n = number(e)
	l.mu.Lock()
	made := n < uint64(len(l.acked))
	l.mu.Unlock()
	if !made || l.id(n) != e.ID {
		return n, fmt.Errorf("%s was never published", e.ID)
	}
	var sent event.Event
	if err := new(event.Decoder).Decode(l.append(nil, n), &sent); err != nil {
		return n, err
	}
	want, got := event.AppendCanonical(nil, &sent), event.AppendCanonical(nil, e)
	if string(got) != string(want) {
		return n, fmt.Errorf("event %d is\n%s\npublished was\n%s", n, got, want)
	}
	return n, nil
}

// totals returns how many events were published, acknowledged, and on the tail.
func (l *ledger) totals() (made, acked, tailed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acked), l.total.acked, l.total.tailed
}

// tailedTo returns the offset after the last that the tail had.
func (l *ledger) tailedTo() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.next
}

// comparison is the comparison of an export with the ledger.
type comparison struct {
	*ledger
	seen     []uint64         // bits by number: it was exported
	early    map[uint64]int64 // by number, the offset of what the tail had not come to yet
	exported int              // events
	lowest   int64            // offset exported
}

// add takes one exported event.
func (a *comparison) add(e *event.Event) error {
	n, err := a.verify(e)
	if err != nil {
		return err
	}
	for uint64(len(a.seen)) <= n/64 {
		a.seen = append(a.seen, 0)
	}
	if a.seen[n/64]&(1<<(n%64)) != 0 {
		return fmt.Errorf("event %d is exported twice", n)
	}
	a.seen[n/64] |= 1 << (n % 64)
	if a.exported == 0 || e.Offset < a.lowest {
		a.lowest = e.Offset
	}
	a.exported++
	a.mu.Lock()
	defer a.mu.Unlock()
	switch a.tailed[n] {
	case 0:
		a.early[n] = e.Offset
	case uint32(e.Offset + 1):
	default:
		return fmt.Errorf("event %d is exported at offset %d; the tail had it at %d", n, e.Offset, a.tailed[n]-1)
	}
	return nil
}

// reached reports whether the tail has had every exported event.
func (a *comparison) reached() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	for n := range a.early {
		if a.tailed[n] == 0 {
			return false
		}
	}
	return true
}

// conclude compares what is left to compare once reached is true. Events before
// the lowest that was exported have been dropped by retention; mayErr is how
// many receipts may name a copy that was dropped, and not the event.
func (a *comparison) conclude(mayErr int) (dropped int, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	var errs []error
	for n, offset := range a.early {
		if a.tailed[n] != uint32(offset+1) {
			errs = append(errs, fmt.Errorf("event %d is exported at offset %d; the tail had it at %d", n, offset, a.tailed[n]-1))
		}
	}
	lost, wrong, kept := []string(nil), a.wrong, 0
	for n, at := range a.tailed {
		switch {
		case at == 0 && a.acked[n] != 0:
			lost = append(lost, fmt.Sprint(n))
		case a.acked[n] != 0 && a.acked[n] != at:
			wrong++
		}
		switch {
		case at == 0:
		case int64(at) <= a.lowest:
			dropped++
		default:
			kept++
		}
	}
	if len(lost) > 0 {
		errs = append(errs, fmt.Errorf("%d of %d acknowledged events are lost: %s", len(lost), a.total.acked, strings.Join(lost[:min(len(lost), 20)], " ")))
	}
	if wrong > mayErr {
		errs = append(errs, fmt.Errorf("%d receipts name another position than the event's; %d may", wrong, mayErr))
	}
	if kept != a.exported {
		errs = append(errs, fmt.Errorf("%d events are exported; the tail had %d of these offsets", a.exported, kept))
	}
	return dropped, errors.Join(errs...)
}

// TestLedger: what a torture must notice is noticed.
func TestLedger(t *testing.T) {
	// Events 0 to 2 are acknowledged, tailed and exported at the offsets 0 to 2;
	// -1 stands for one that is not.
	type views struct{ acked, tailed, exported [3]int64 }
	type more func(*ledger, *comparison, *event.Event) error // with event 2
	for _, c := range []struct {
		name   string
		change func(*views)
		more   more
		says   string // "": nothing is wrong
	}{
		{"nothing", nil, nil, ""},
		{"stored and not acknowledged", func(v *views) { v.acked[1] = -1 }, nil, ""},
		{"dropped by retention", func(v *views) { v.exported[0] = -1 }, nil, ""},
		{"lost", func(v *views) { v.tailed[2], v.exported[2] = -1, -1 }, nil, "1 of 3 acknowledged events are lost: 2"},
		{"not exported", func(v *views) { v.exported[1] = -1 }, nil, "2 events are exported; the tail had 3"},
		{"not tailed", func(v *views) { v.tailed[1] = -1 }, nil, "the tail has not come to all"},
		{"exported from elsewhere", func(v *views) { v.exported[2] = 3 }, nil, "exported at offset 3; the tail had it at 2"},
		{"a receipt for elsewhere", func(v *views) { v.acked[2] = 3 }, nil, "1 receipts name another position"},
		{"tailed out of order", func(v *views) { v.tailed[0] = 1 }, nil, "the tail had come to 2"},
		{"tailed twice", nil, func(l *ledger, _ *comparison, e *event.Event) error { e.Offset = 3; return l.follow(e) }, "is there at offset 2 and at 3"},
		{"exported twice", nil, func(_ *ledger, a *comparison, e *event.Event) error { return a.add(e) }, "exported twice"},
		{"altered", nil, func(l *ledger, _ *comparison, e *event.Event) error { e.UserID = "mallory"; return l.follow(e) }, "published was"},
		{"another tenant's", nil, func(l *ledger, _ *comparison, e *event.Event) error { e.TenantID = "other"; return l.follow(e) }, "published was"},
		{"invented", nil, func(l *ledger, _ *comparison, e *event.Event) error { e.ID = l.id(3); return l.follow(e) }, "was never published"},
		{"a duplicate taken for new", nil, func(l *ledger, _ *comparison, e *event.Event) error {
			return l.acknowledge([]uint64{2}, []client.EventResult{{EventID: e.ID.String(), Offset: 2}})
		}, "1 receipts name another position"},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := &views{[3]int64{0, 1, 2}, [3]int64{0, 1, 2}, [3]int64{0, 1, 2}}
			if c.change != nil {
				c.change(v)
			}
			l := &ledger{seed: 1}
			a := &comparison{ledger: l, early: map[uint64]int64{}}
			var e event.Event
			var errs []error
			for _, n := range l.publish(3) {
				if err := new(event.Decoder).Decode(l.append(nil, n), &e); err != nil {
					t.Fatal(err)
				}
				if at := v.acked[n]; at >= 0 {
					errs = append(errs, l.acknowledge([]uint64{n}, []client.EventResult{{EventID: e.ID.String(), Offset: at}}))
				}
				if e.Offset = v.tailed[n]; e.Offset >= 0 {
					errs = append(errs, l.follow(&e))
				}
				if e.Offset = v.exported[n]; e.Offset >= 0 {
					errs = append(errs, a.add(&e))
				}
			}
			if c.more != nil {
				errs = append(errs, c.more(l, a, &e))
			}
			if !a.reached() {
				errs = append(errs, errors.New("the tail has not come to all"))
			}
			_, err := a.conclude(0)
			err = errors.Join(append(errs, err)...)
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v; want %q", err, c.says)
			}
		})
	}
}
