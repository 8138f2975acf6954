package ingest

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/stream"
)

// Stream is what ingest needs of the stream.
type Stream interface {
	// Append is [stream.Stream]'s.
	Append(ctx context.Context, b *stream.Batch) error
}

// Store is what ingest needs of the store: to know what is there already.
type Store interface {
	// Known and Visible are those of store.Store.
	Known(ctx context.Context, ids []event.Identity, since int64, found []event.Position) error
	Visible() event.Positions
}

// Door says what one sender may publish, over whatever protocol.
type Door interface {
	// Tenant is that of events which name none.
	Tenant() string
	// Admit is asked of every event after it was decoded and before it is
	// published. It refuses one with [event.Errors].
	Admit(e *event.Event) error
	// Wait returns how long the sender must wait before it publishes more; 0: not
	// at all. Charge is told how many events were published.
	Wait() time.Duration
	Charge(events int)
}

// Redactor takes secrets out of events; [redact.Redactor] is one.
//
// [redact.Redactor]: https://pkg.go.dev/github.com/daybook-log/daybook/ingest/redact#Redactor
type Redactor interface {
	// Redact replaces what is secret in e and returns how many values it
	// replaced. It changes no byte that e's strings share with others. It is
	// called by many goroutines at once.
	Redact(e *event.Event) (n int)
}

// DefaultWindow is how far back a duplicate is looked for.
const DefaultWindow = 7 * 24 * time.Hour

// PublisherOptions are what a [Publisher] is made of.
type PublisherOptions struct {
	Stream Stream
	Store  Store

	// Window is how long after an event the same identity is recognised as its
	// duplicate; 0: DefaultWindow. It is the window of the index.
	Window time.Duration

	// Keyed gives every record its [stream.Key]. Only a stream of more than
	// one partition looks at keys, and they cost two allocations an event.
	Keyed bool

	// Redactor sees every event before it goes into the stream; nil: events go
	// as they came.
	Redactor Redactor

	Metrics *Metrics // nil: not counted
}

// Publisher puts events into the stream, whatever protocol they came by. It is
// safe for concurrent use.
//
// # Duplicates
//
// An event whose publisher chose its event_id may have been published before,
// typically because an answer was lost. It is then not appended again; its
// receipt carries the position of the original. What was published before is
// known from two places: the store, for all that the index has come to, and the
// table of [flights], for what was appended since or is being appended by
// another request at this moment. An event whose event_id was assigned here is
// new by construction and is not looked up.
//
// Both are asked for tenant and event_id together: what one tenant publishes
// changes nothing of the fate or the receipt of another's event.
//
// The guarantor of "the same identity is one event" is the index, which sees all
// events in one order. The check here makes the receipt tell the truth and
// spares the stream the copy; when it cannot be exact it lets the event pass
// and counts it ([Metrics].DuplicateChecksSkipped).
type Publisher struct {
	stream   Stream
	store    Store
	window   time.Duration
	keyed    bool
	redactor Redactor // nil: none
	metrics  *Metrics

	ids     event.IDSource
	seed    maphash.Seed // of the tenants of identities in flights
	flights flights
	batches sync.Pool // of *Batch
}

// NewPublisher returns a Publisher over a stream and a store.
func NewPublisher(o PublisherOptions) *Publisher {
	if o.Window == 0 {
		o.Window = DefaultWindow
	}
	if o.Metrics == nil {
		o.Metrics = new(Metrics)
	}
	p := &Publisher{stream: o.Stream, store: o.Store, window: o.Window, keyed: o.Keyed, redactor: o.Redactor, metrics: o.Metrics, seed: maphash.MakeSeed()}
	p.flights.init()
	p.batches.New = func() any { return &Batch{p: p} }
	return p
}

// Refused counts an event that was refused because of errs, which whoever
// decoded it has told the one who sent it.
func (p *Publisher) Refused(errs event.Errors) {
	if errs[0].Field == "" {
		p.metrics.RefusedSyntax.Add(1)
	} else {
		p.metrics.RefusedField.Add(1)
	}
}

// Receipt says where an event lies in the stream.
type Receipt struct {
	ID        event.ID
	Position  event.Position
	Duplicate bool // Position is that of the event published earlier with the same identity
}

// Batch is events on their way to one append. A Batch is used by one goroutine:
// Add events, Publish, read Receipts, Reset or Release.
type Batch struct {
	p     *Publisher
	data  []byte // canonical bytes of the events, one after the other
	ends  []uint32
	keys  []stream.Key // one per event when p.keyed
	ids   []event.ID
	sent  []chosen // the events whose publisher chose the id
	names []byte   // of the tenants of sent

	receipts []Receipt // one per event after Publish

	// Working memory of Publish.
	fate  []int32 // one per event: toAppend, elsewhere, or the earlier event of this batch with the same identity
	asked []event.Identity
	found []event.Position
}

// chosen is an event whose publisher chose the id.
type chosen struct {
	event    int32  // its number in the batch
	from, to uint32 // its tenant's name in Batch.names
	tenant   uint64 // hash of the name under Publisher.seed
}

// What becomes of an event of a batch, besides being another one's duplicate.
const (
	toAppend  int32 = -1
	elsewhere int32 = -2 // published earlier; its receipt is filled in
)

// maxPooled is the most canonical bytes whose memory a released batch keeps.
const maxPooled = 8 << 20

// NewBatch returns an empty batch.
func (p *Publisher) NewBatch() *Batch { return p.batches.Get().(*Batch) }

// Release gives the batch's memory back. Neither it nor its receipts may be
// used after.
func (b *Batch) Release() {
	if cap(b.data) > maxPooled {
		return
	}
	b.Reset()
	b.p.batches.Put(b)
}

// Reset empties the batch.
func (b *Batch) Reset() {
	clear(b.keys)
	b.data, b.ends, b.keys, b.ids = b.data[:0], b.ends[:0], b.keys[:0], b.ids[:0]
	b.sent, b.names, b.receipts = b.sent[:0], b.names[:0], b.receipts[:0]
}

// Len returns the number of events added.
func (b *Batch) Len() int { return len(b.ids) }

// Size returns the canonical bytes of the events added.
func (b *Batch) Size() int { return len(b.data) }

// Receipts returns one receipt per event, in the order they were added, once
// Publish has returned nil. They are valid until Reset or Release.
func (b *Batch) Receipts() []Receipt { return b.receipts }

// Add completes a decoded event (identity, timestamp), redacts it, and adds it.
// Nothing of e is kept. A batch holds at most 1 GiB; publish long before that. Add
// returns [event.Errors] and adds nothing when the canonical form is larger than
// an event may be, which redaction can make it.
func (b *Batch) Add(e *event.Event) error {
	wasChosen := !e.ID.IsZero()
	var now time.Time
	if !wasChosen || e.Timestamp == event.NoTime {
		now = time.Now()
	}
	e.Complete(&b.p.ids, now)
	redacted := 0
	if b.p.redactor != nil {
		redacted = b.p.redactor.Redact(e)
	}
	start := len(b.data)
	b.data = event.AppendCanonical(b.data, e)
	if size := len(b.data) - start; size > event.MaxSize {
		b.data = b.data[:start]
		after := ""
		if redacted > 0 {
			after = fmt.Sprintf(" after %d values in it were redacted", redacted)
		}
		return event.Errors{{Reason: fmt.Sprintf("the event's canonical form is %d bytes%s; at most %d are accepted", size, after, event.MaxSize)}}
	}
	if redacted > 0 {
		b.p.metrics.RedactedValues.Add(int64(redacted))
		b.p.metrics.RedactedEvents.Add(1)
	}
	if wasChosen {
		b.addChosen(e.TenantID)
	}
	b.ids = append(b.ids, e.ID)
	b.ends = append(b.ends, uint32(len(b.data)))
	if b.p.keyed {
		b.keys = append(b.keys, stream.Key{Tenant: strings.Clone(e.TenantID), User: strings.Clone(e.UserID)})
	}
	return nil
}

// addChosen adds the event that is next to sent.
func (b *Batch) addChosen(tenant string) {
	c := chosen{event: int32(len(b.ids))}
	if n := len(b.sent); n > 0 { // tenants come in runs
		last := &b.sent[n-1]
		c.from, c.to, c.tenant = last.from, last.to, last.tenant
	}
	if c.from == c.to || string(b.names[c.from:c.to]) != tenant {
		c.from = uint32(len(b.names))
		b.names = append(b.names, tenant...)
		c.to, c.tenant = uint32(len(b.names)), maphash.String(b.p.seed, tenant)
	}
	b.sent = append(b.sent, c)
}

// Truncate takes back all but the first n events added, for a protocol that
// accepts several events together or not at all.
func (b *Batch) Truncate(n int) {
	if n >= len(b.ids) {
		return
	}
	size := uint32(0)
	if n > 0 {
		size = b.ends[n-1]
	}
	b.data, b.ends, b.ids = b.data[:size], b.ends[:n], b.ids[:n]
	kept, _ := slices.BinarySearchFunc(b.sent, int32(n), func(c chosen, n int32) int { return cmp.Compare(c.event, n) })
	b.sent = b.sent[:kept]
	if b.p.keyed {
		clear(b.keys[n:])
		b.keys = b.keys[:n]
	}
}

// Publish appends the events to the stream, all in one append, those published
// before excepted, and returns when they are durable. The error is the
// stream's, or ctx's; then no event of the batch is acknowledged, and the batch
// may be published again.
//
// ctx ends the waiting before the append, not the append: the stream would hold
// the events and perhaps keep them, while a publisher that comes back with them
// was told that they are new.
func (b *Batch) Publish(ctx context.Context) error {
	p, n := b.p, len(b.ids)
	if n == 0 {
		return nil
	}
	b.receipts = slices.Grow(b.receipts[:0], n)[:n]
	b.fate = slices.Grow(b.fate[:0], n)[:n]
	for i := range n {
		b.receipts[i] = Receipt{ID: b.ids[i]}
		b.fate[i] = toAppend
	}
	var f *flight
	if len(b.sent) > 0 {
		var err error
		if f, err = p.flights.claim(ctx, b, p.store.Visible()); err != nil {
			p.metrics.Failed.Add(int64(n))
			return err
		}
		defer p.flights.abandon(f, b) // does nothing once f has landed
		if err := b.askStore(ctx); err != nil {
			p.metrics.Failed.Add(int64(n))
			return err
		}
	}
	sb := b.records()
	if sb.Len() > 0 {
		err := ctx.Err()
		if err == nil {
			err = p.stream.Append(context.WithoutCancel(ctx), sb)
		}
		if err != nil {
			p.metrics.Failed.Add(int64(n))
			return err
		}
	}
	duplicates := b.land(sb)
	if f != nil {
		p.flights.land(f, b, sb, duplicates > 0)
	}
	p.metrics.Accepted.Add(int64(n - duplicates))
	p.metrics.Duplicates.Add(int64(duplicates))
	return nil
}

// askStore looks up in the store the events that nobody is known to have
// published and fills in the receipts of those that the store holds.
func (b *Batch) askStore(ctx context.Context) error {
	b.asked = b.asked[:0]
	names := string(b.names)
	for _, c := range b.sent {
		if b.fate[c.event] == toAppend {
			b.asked = append(b.asked, event.Identity{TenantID: names[c.from:c.to], ID: b.ids[c.event]})
		}
	}
	if len(b.asked) == 0 {
		return nil
	}
	b.found = slices.Grow(b.found[:0], len(b.asked))[:len(b.asked)]
	since := time.Now().Add(-b.p.window).UnixNano()
	if err := b.p.store.Known(ctx, b.asked, since, b.found); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		// A store that cannot be read is no reason to refuse events: the index
		// asks again before it stores them.
		b.p.metrics.DuplicateChecksSkipped.Add(int64(len(b.asked)))
		return nil
	}
	k := 0
	for _, c := range b.sent {
		i := c.event
		if b.fate[i] != toAppend {
			continue
		}
		if pos := b.found[k]; pos.Offset >= 0 {
			b.fate[i] = elsewhere
			b.receipts[i].Position, b.receipts[i].Duplicate = pos, true
		}
		k++
	}
	return nil
}

// records copies the events that are to be appended into a batch for the
// stream, which owns it from then on. The copy is exact in size, so that the
// batch's own memory, grown to what requests usually need, can be used again.
func (b *Batch) records() *stream.Batch {
	n, size := 0, 0
	for i, fate := range b.fate {
		if fate == toAppend {
			n++
			size += len(b.record(i))
		}
	}
	sb := &stream.Batch{}
	if n == len(b.ids) {
		sb.Data, sb.Ends, sb.Keys = slices.Clone(b.data), slices.Clone(b.ends), slices.Clone(b.keys)
		return sb
	}
	sb.Data, sb.Ends = make([]byte, 0, size), make([]uint32, 0, n)
	for i, fate := range b.fate {
		if fate != toAppend {
			continue
		}
		sb.Data = append(sb.Data, b.record(i)...)
		sb.Ends = append(sb.Ends, uint32(len(sb.Data)))
		if b.p.keyed {
			sb.Keys = append(sb.Keys, b.keys[i])
		}
	}
	return sb
}

func (b *Batch) record(i int) []byte {
	start := uint32(0)
	if i > 0 {
		start = b.ends[i-1]
	}
	return b.data[start:b.ends[i]]
}

// land fills in the receipts of what was appended, and of the events that
// repeat one of these, and returns how many receipts are of duplicates.
func (b *Batch) land(sb *stream.Batch) (duplicates int) {
	k := 0
	for i, fate := range b.fate {
		switch fate {
		case toAppend:
			b.receipts[i].Position = sb.Position(k)
			k++
		case elsewhere:
			duplicates++
		default: // the original comes earlier in the batch, so its receipt is done
			b.receipts[i].Position, b.receipts[i].Duplicate = b.receipts[fate].Position, true
			duplicates++
		}
	}
	return duplicates
}
