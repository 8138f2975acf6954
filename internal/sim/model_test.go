package sim

import (
	"bytes"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/ingest"
	"github.com/daybook-log/daybook/stream"
)

// model is what must be true: a list of events, and where in the stream each
// lies, as publishers and readers were told. It is told of everything that stages
// say to one another, and finds contradictions.
type model struct {
	w *world

	mu     sync.Mutex
	events []event.Event          // all that any publisher has sent, normalised
	byID   map[event.Identity]int // index in events
	acked  map[int][]int64        // by index in events: the offsets that receipts said
	end    int64                  // past every offset that a receipt said

	log      map[int64]int  // the stream, as it was read or acknowledged: index in events by offset
	rows     []row          // what the index put into the store, rising by offset
	inexact  map[int64]bool // offsets of receipts that may be of a copy
	received map[int64]int64

	manifest  manifest // the one in place
	by        int      // the goroutine that put it there
	durable   manifest // the one that a power cut would leave
	committed manifest // the last that was synced by whoever put it there
	dropped   int64    // retention may have dropped what lies before
	gone      int64    // and has, for good
}

// row is an event of the store.
type row struct {
	offset int64
	event  int
	copied bool // a copy of an event that retention may have dropped: there or not
}

// manifest is what the model reads of the store's.
type manifest struct {
	Generation uint64          `json:"generation"`
	Reached    event.Positions `json:"reached"`
	Segments   []struct {
		File        string
		Parquet     struct{ Size int64 }
		From, To    event.Positions
		MaxReceived int64 `json:"max_received"`
	}
}

func newModel(w *world) *model {
	return &model{w: w, byID: map[event.Identity]int{}, acked: map[int][]int64{}, log: map[int64]int{}, inexact: map[int64]bool{}, received: map[int64]int64{}}
}

// send takes note that events are about to be published.
func (m *model) send(e event.Event) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, e)
	m.byID[e.Identity()] = len(m.events) - 1
	return len(m.events) - 1
}

// place takes note that event n lies at an offset.
func (m *model) place(n int, offset int64, who string) {
	if old, ok := m.log[offset]; ok && old != n {
		m.w.failf("%s: offset %d holds event %d, and held event %d before", who, offset, n, old)
	}
	m.log[offset] = n
}

// ack takes note of receipts.
func (m *model) ack(sent []int, receipts []ingest.Receipt, p *process) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(receipts) != len(sent) {
		m.w.failf("%d receipts for %d events", len(receipts), len(sent))
		return
	}
	for i, n := range sent {
		r := receipts[i]
		if r.ID != m.events[n].ID {
			m.w.failf("the receipt of %s says %s", m.events[n].ID, r.ID)
		}
		m.place(n, r.Position.Offset, "receipt")
		if !slices.Contains(m.acked[n], r.Position.Offset) {
			m.acked[n] = append(m.acked[n], r.Position.Offset)
		}
		if !p.caughtUp || p.metrics.DuplicateChecksSkipped.Load() > 0 {
			m.inexact[r.Position.Offset] = true
		}
		m.end = max(m.end, r.Position.Offset+1)
	}
}

// read takes note of what a reader of the stream was handed.
func (m *model) read(b *stream.Batch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range b.Len() {
		var e event.Event
		var d event.Decoder
		offset := b.Position(i).Offset
		if err := d.Decode(b.Value(i), &e); err != nil {
			m.w.failf("offset %d of the stream is no event: %v", offset, err)
			return
		}
		n, ok := m.byID[e.Identity()]
		if !ok || e != m.events[n] {
			m.w.failf("offset %d of the stream holds what nobody sent: %+v", offset, e)
			return
		}
		m.place(n, offset, "stream")
		if at, ok := m.received[offset]; ok && at != b.ReceivedAt {
			m.w.failf("offset %d was received at %d, and now at %d", offset, at, b.ReceivedAt)
		}
		m.received[offset] = b.ReceivedAt
	}
}

// indexed takes note of what the index puts into the store for the offsets
// from ≤ o < to, and finds out whether that is each event once.
func (m *model) indexed(rows []event.Event, from, to int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for offset := from; offset < to; offset++ {
		n, ok := m.log[offset]
		if !ok {
			m.w.failf("the index came to offset %d and has not read it", offset)
			return
		}
		stored := len(rows) > 0 && rows[0].Offset == offset
		if stored {
			m.same(&rows[0], "index")
			rows = rows[1:]
		}
		original, mayBeGone := false, false
		for _, r := range m.rows {
			if r.event == n && r.offset < offset {
				original = original || r.offset >= m.dropped && !r.copied
				mayBeGone = true
			}
		}
		switch {
		case stored && original:
			m.w.failf("offset %d holds event %d a second time, and the index stored it again", offset, n)
		case !stored && !mayBeGone:
			m.w.failf("the index left out offset %d, event %d", offset, n)
		}
		m.setRow(row{offset, n, mayBeGone}, stored)
	}
	if len(rows) > 0 {
		m.w.failf("the index stored offset %d, for the offsets %d to %d", rows[0].Offset, from, to-1)
	}
}

func (m *model) setRow(r row, stored bool) {
	i, found := slices.BinarySearchFunc(m.rows, r.offset, func(a row, o int64) int { return int(a.offset - o) })
	switch {
	case found && !stored && !m.rows[i].copied:
		m.w.failf("offset %d was stored, and is left out when it is replayed", r.offset)
	case found && !stored:
		m.rows = slices.Delete(m.rows, i, i+1)
	case !found && stored:
		m.rows = slices.Insert(m.rows, i, r)
	}
}

// same finds out whether an event is what was sent, and lies where the model has
// it. m.mu is held. It returns its index.
func (m *model) same(e *event.Event, who string) int {
	n, ok := m.byID[e.Identity()]
	if !ok {
		m.w.failf("%s: %s was never sent", who, e.ID)
		return 0
	}
	c := *e
	c.ReceivedAt, c.Partition, c.Offset = 0, 0, 0
	if c != m.events[n] {
		m.w.failf("%s: event %d is\n%+v, and was sent as\n%+v", who, n, c, m.events[n])
	}
	if at, ok := m.log[e.Offset]; !ok || at != n || e.Partition != 0 {
		m.w.failf("%s: event %d lies at offset %d of partition %d, where the stream has %d (%v)", who, n, e.Offset, e.Partition, at, ok)
	}
	if at := m.received[e.Offset]; at != e.ReceivedAt {
		m.w.failf("%s: offset %d says that it was received at %d, the stream said %d", who, e.Offset, e.ReceivedAt, at)
	}
	return n
}

// replaced takes note of a manifest that has taken the place of the one before,
// and finds out whether what it drops was to be dropped.
func (m *model) replaced(data []byte) {
	_, body, _ := bytes.Cut(data, []byte("\n"))
	var next manifest
	if err := json.Unmarshal(body, &next); err != nil {
		m.w.failf("manifest: %v", err)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	total := int64(0)
	for _, s := range m.manifest.Segments {
		total += s.Parquet.Size
	}
	first := next.Reached.At(0)
	if len(next.Segments) > 0 {
		first = next.Segments[0].From.At(0)
	}
	o := m.w.plan.store
	for _, s := range m.manifest.Segments {
		if s.To.At(0) > first {
			break
		}
		m.w.stats.Add("store segments dropped", 1)
		old := o.RetainAge > 0 && s.MaxReceived < time.Now().Add(-o.RetainAge).UnixNano()
		if much := o.RetainBytes > 0 && total > o.RetainBytes; !old && !much {
			m.w.failf("retention dropped %s, which is neither old nor too much", s.File)
		}
		total -= s.Parquet.Size
		m.dropped = max(m.dropped, s.To.At(0))
	}
	for i, s := range next.Segments[:max(0, len(next.Segments)-1)] {
		if !next.Segments[i+1].From.Covers(s.To) {
			m.w.failf("segment %s overlaps the one before", next.Segments[i+1].File)
		}
	}
	m.manifest, m.by = next, goroutine()
}

// synced takes note that the store's folder is durable. It is a commit when the
// manifest's writer has synced it; else the store does not know of it yet.
func (m *model) synced() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.durable = m.manifest
	if m.by != goroutine() {
		return
	}
	if !m.manifest.Reached.Covers(m.committed.Reached) {
		m.w.failf("the commit point went back from %v to %v", m.committed.Reached, m.manifest.Reached)
	}
	m.committed = m.manifest
	first := m.committed.Reached.At(0)
	if len(m.committed.Segments) > 0 {
		first = m.committed.Segments[0].From.At(0)
	}
	m.gone = max(m.gone, min(m.dropped, first))
}

// reopened takes note of the manifest that a process which has ended left. After
// a power cut it is the disk's; else it may yet be the kernel's alone.
func (m *model) reopened(data []byte, cut bool) {
	_, body, _ := bytes.Cut(data, []byte("\n"))
	var left manifest
	if err := json.Unmarshal(body, &left); err != nil && len(data) > 0 {
		m.w.failf("the manifest that the crash left: %v", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if left.Generation < m.committed.Generation || !left.Reached.Covers(m.committed.Reached) {
		m.w.failf("the manifest was %d, up to %v, and the restart finds %d, up to %v",
			m.committed.Generation, m.committed.Reached, left.Generation, left.Reached)
	}
	m.manifest, m.by = left, 0
	if cut {
		m.durable = left
	}
}

// released finds out whether the stream may forget what lies before an offset.
func (m *model) released(upTo int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if upTo > m.durable.Reached.At(0) {
		m.w.failf("the stream is released up to %d, the store's manifest has only %v", upTo, m.durable.Reached)
	}
}

// stopping is called before a process that stops drains.
func (m *model) stopping(p *process) {
	if s := p.index.Stats(); s.Missing > 0 || len(s.DeadLetters) > 0 {
		m.w.failf("the index missed %d records, dead letters %v", s.Missing, s.DeadLetters)
	}
}

// there reports whether the store surely has event n.
func (m *model) there(n int) bool {
	return slices.ContainsFunc(m.rows, func(r row) bool { return r.event == n && r.offset >= m.dropped && !r.copied })
}

// settled finds out, once everything is indexed, whether every acknowledged event
// is in the store once, and where its receipt says.
func (m *model) settled() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for n, told := range m.acked {
		live, some, oldest := 0, false, int64(1<<62)
		for _, r := range m.rows {
			if r.event == n {
				some = true
				if r.offset >= m.dropped && !r.copied {
					live++
				}
				oldest = min(oldest, r.offset)
			}
		}
		if !some || live > 1 || live == 0 && oldest >= m.dropped {
			m.w.failf("event %d, acknowledged at %v, is in the store %d times", n, told, live)
		}
		for _, offset := range told {
			stored := slices.ContainsFunc(m.rows, func(r row) bool { return r.offset == offset })
			if !stored && !m.inexact[offset] && offset >= m.dropped {
				m.w.failf("event %d was acknowledged at %d, which the index took for a copy", n, offset)
			}
		}
	}
}
