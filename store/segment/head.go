package segment

import (
	"cmp"
	"context"
	"hash/maphash"
	"math"
	"sync"
	"time"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/store"
	"github.com/daybook-log/daybook/store/column"
)

// head holds rows in memory, in the order in which the stream gave them. Rows
// are only added, until it is frozen: from then on it does not change.
type head struct {
	from event.Positions // what the store had reached before its first row
	seed maphash.Seed

	mu     sync.RWMutex
	cols   column.Rows // guarded by mu; Text is empty, see text
	text   [event.NumFields]*column.Builder
	table  []uint64        // guarded by mu: open addressing, hash<<32 | row+1, at most half full
	extent extent          // guarded by mu
	sorted bool            // guarded by mu: rows rise by (timestamp, partition, offset)
	rising bool            // guarded by mu: one partition, rows rise by offset
	size   int64           // guarded by mu: its columns take no more bytes than this
	wrote  int64           // guarded by mu: what its text takes written out, see maxWritten
	born   time.Time       // guarded by mu: when the first row or position came
	view   *headView       // guarded by mu: the last snapshot
	last   store.Key       // guarded by mu: of the last row
	to     event.Positions // guarded by mu: what its rows reach
}

// rowBytes is what a row takes at most besides its text: a code or an end per
// text column, identity, times and position.
const rowBytes = 4*int64(event.Metadata-event.UserID+1) + 16 + 3*8 + 4

// maxWritten is how many bytes the text of a segment takes at most when every
// value is written out, but for the last batch. A dictionary hides how large a
// column is until it stops paying or is too large for a file: then all of it is
// written out, in memory and on disk, and one piece holds [column.MaxData] at most.
const maxWritten = 512 << 20

// extent bounds the events of a source.
type extent struct {
	from, to                 event.Positions
	rows                     int
	minTime, maxTime         int64
	minReceived, maxReceived int64
}

// newHead returns a head with room for capacity rows.
func newHead(capacity int, from event.Positions) *head {
	h := &head{from: from, to: from, seed: maphash.MakeSeed(), sorted: true, rising: true}
	h.extent = extent{from: from, to: from, minTime: math.MaxInt64, maxTime: math.MinInt64, minReceived: math.MaxInt64, maxReceived: math.MinInt64}
	h.reserve(capacity)
	return h
}

// reserve gives h, which is empty, room for n rows.
func (h *head) reserve(n int) {
	h.cols.IDs = make([]event.ID, 0, n)
	h.cols.Timestamps = make([]int64, 0, n)
	h.cols.ReceivedAt = make([]int64, 0, n)
	h.cols.Offsets = make([]int64, 0, n)
	for f := event.UserID; f <= event.Metadata; f++ {
		h.text[f] = column.NewBuilder(n)
	}
	slots := 64
	for slots < 2*n {
		slots *= 2
	}
	h.table = make([]uint64, slots)
}

// append adds rows, and moves what the head reaches to reached.
func (h *head) append(rows []event.Event, reached event.Positions) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.born.IsZero() {
		h.born = time.Now()
	}
	if h.cols.N == 0 && len(rows) > cap(h.cols.IDs) {
		h.reserve(len(rows)) // a batch larger than a head
	}
	for i := range rows {
		h.appendFixed(&rows[i])
	}
	size := 0
	for f := event.UserID; f <= event.Metadata; f++ {
		b := h.text[f]
		for i := range rows {
			v := rows[i].Text(f)
			size += len(v)
			b.Append(v)
		}
	}
	h.wrote += int64(size)
	h.size += int64(size) + int64(len(rows))*rowBytes
	h.to = reached
	h.extent.to = reached
	h.extent.rows = h.cols.N
}

// appendFixed adds what of e is no text.
func (h *head) appendFixed(e *event.Event) {
	c := &h.cols
	key := keyOf(e)
	if c.N > 0 {
		h.sorted = h.sorted && compareKeys(h.last, key) < 0
		h.rising = h.rising && h.last.Position.Offset < e.Offset
	}
	h.last = key
	if e.Partition != 0 && c.Partitions == nil {
		c.Partitions = make([]int32, c.N, cap(c.Offsets))
	}
	if c.Partitions != nil {
		h.rising = false
		c.Partitions = append(c.Partitions, e.Partition)
	}
	c.IDs = append(c.IDs, e.ID)
	c.Timestamps = append(c.Timestamps, e.Timestamp)
	c.ReceivedAt = append(c.ReceivedAt, e.ReceivedAt)
	c.Offsets = append(c.Offsets, e.Offset)
	c.N++
	x := &h.extent
	x.minTime, x.maxTime = min(x.minTime, e.Timestamp), max(x.maxTime, e.Timestamp)
	x.minReceived, x.maxReceived = min(x.minReceived, e.ReceivedAt), max(x.maxReceived, e.ReceivedAt)
	h.index(e.ID, c.N)
}

// index puts the identity of row n-1 in the table.
func (h *head) index(id event.ID, n int) {
	if 2*n > len(h.table) {
		h.table = make([]uint64, 2*len(h.table))
		for row, id := range h.cols.IDs[:n-1] {
			h.index(id, row+1)
		}
	}
	hash := maphash.Bytes(h.seed, id[:])
	mask := uint64(len(h.table) - 1)
	i := hash & mask
	for h.table[i] != 0 {
		i = (i + 1) & mask
	}
	h.table[i] = hash&^math.MaxUint32 | uint64(n)
}

// find calls yield for every row with the ID, the first one first, until it
// returns false; then it returns false, too. The caller holds mu.
func (h *head) find(id event.ID, yield func(row int) bool) bool {
	hash := maphash.Bytes(h.seed, id[:])
	mask := uint64(len(h.table) - 1)
	for i := hash & mask; h.table[i] != 0; i = (i + 1) & mask {
		if slot := h.table[i]; (slot^hash)>>32 == 0 {
			if row := int(slot&math.MaxUint32) - 1; h.cols.IDs[row] == id && !yield(row) {
				return false
			}
		}
	}
	return true
}

// known sets found[i] for those of ids that h holds and received at or after since.
func (h *head) known(ids []event.Identity, since int64, found []event.Position) {
	h.mu.RLock()
	defer h.mu.RUnlock()
	if h.cols.N == 0 || h.extent.maxReceived < since {
		return
	}
	tenants := h.text[event.TenantID]
	for i := range ids {
		if found[i].Offset >= 0 {
			continue
		}
		h.find(ids[i].ID, func(row int) bool {
			if h.cols.ReceivedAt[row] >= since && tenants.At(row) == ids[i].TenantID {
				found[i] = keyAt(&h.cols, row).Position
			}
			return true
		})
	}
}

// since returns when h got its first row or position; zero when it has none.
func (h *head) since() time.Time {
	h.mu.RLock()
	defer h.mu.RUnlock()
	return h.born
}

// room reports whether h has room for n more rows. An empty head has room for
// any number.
func (h *head) room(n, maxRows int, maxBytes int64) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.cols.N == 0 {
		return true
	}
	if h.size >= maxBytes {
		// The text that came is an upper bound: most of it is in a dictionary once.
		h.size = h.measure()
	}
	return h.cols.N+n <= maxRows && h.size < maxBytes && h.wrote < maxWritten
}

// measure returns how many bytes the columns take. The caller holds mu.
func (h *head) measure() int64 {
	rows := column.Rows{N: h.cols.N}
	n := int64(0)
	for f := event.UserID; f <= event.Metadata; f++ {
		rows.Text[f] = h.text[f].Snapshot()
		if d := rows.Text[f].Dict; d != nil {
			n += int64(len(d.Data) + 4*len(d.Ends))
		}
	}
	return n + rowsBytes(&rows)
}

// memory returns about how many bytes h takes.
func (h *head) memory() int64 {
	h.mu.RLock()
	defer h.mu.RUnlock()
	n := int64(cap(h.cols.IDs))*16 + int64(cap(h.cols.Timestamps)+cap(h.cols.ReceivedAt)+cap(h.cols.Offsets))*8 +
		int64(cap(h.cols.Partitions))*4 + int64(len(h.table))*8
	for _, b := range h.text {
		if b != nil {
			n += b.Bytes()
		}
	}
	return n
}

// snapshot returns the rows that h has now. Rows added later do not change it.
func (h *head) snapshot() *headView {
	h.mu.RLock()
	v := h.view
	current := v != nil && v.cols.N == h.cols.N
	h.mu.RUnlock()
	if current {
		return v
	}
	// Builder.Snapshot is for the appending goroutine: the lock makes this one it.
	h.mu.Lock()
	defer h.mu.Unlock()
	v = &headView{head: h, bounds: h.extent, isSorted: h.sorted, isRising: h.rising}
	c, n := &h.cols, h.cols.N
	v.cols = column.Rows{
		N: n, IDs: c.IDs[:n:n], Timestamps: c.Timestamps[:n:n], ReceivedAt: c.ReceivedAt[:n:n], Offsets: c.Offsets[:n:n],
	}
	if c.Partitions != nil {
		v.cols.Partitions = c.Partitions[:n:n]
	}
	for f, b := range h.text {
		if b != nil {
			v.cols.Text[f] = b.Snapshot()
		}
	}
	h.view = v
	return v
}

// headView is a source over the rows that a head had at one moment.
type headView struct {
	head     *head
	cols     column.Rows
	bounds   extent
	isSorted bool
	isRising bool
}

func (v *headView) extent() *extent { return &v.bounds }
func (v *headView) sorted() bool    { return v.isSorted }
func (v *headView) rising() bool    { return v.isRising }
func (v *headView) resident() bool  { return true }

func (v *headView) intRange(f event.Field) (lo, hi int64, err error) {
	switch f {
	case event.Timestamp:
		return v.bounds.minTime, v.bounds.maxTime, nil
	case event.ReceivedAt:
		return v.bounds.minReceived, v.bounds.maxReceived, nil
	}
	return math.MinInt64, math.MaxInt64, nil
}

func (v *headView) has(f event.Field) (bool, error)              { return !v.cols.Text[f].Absent(), nil }
func (v *headView) mayContain(event.Field, string) (bool, error) { return true, nil }
func (v *headView) mayHold(event.ID) bool                        { return true }
func (v *headView) dict(f event.Field) (*column.Strings, error)  { return v.cols.Text[f].Dict, nil }
func (v *headView) ids(context.Context) ([]event.ID, error)      { return v.cols.IDs, nil }
func (v *headView) parts(event.Field, string) (uint64, int, error) {
	return ^uint64(0), v.cols.N, nil
}
func (v *headView) eachStrings(context.Context, event.Field, func(first, end int) bool, func(int, *column.Strings)) (bool, error) {
	return false, nil
}
func (v *headView) eachCodes(context.Context, event.Field, func(first, end int) bool, func(int, []uint32)) (bool, error) {
	return false, nil
}
func (v *headView) text(_ context.Context, f event.Field) (*column.Text, error) {
	return &v.cols.Text[f], nil
}

func (v *headView) ints(_ context.Context, f event.Field) ([]int64, error) {
	switch f {
	case event.Timestamp:
		return v.cols.Timestamps, nil
	case event.ReceivedAt:
		return v.cols.ReceivedAt, nil
	case event.Offset:
		return v.cols.Offsets, nil
	}
	ps := make([]int64, v.cols.N)
	for i, p := range v.cols.Partitions {
		ps[i] = int64(p)
	}
	return ps, nil
}

func (v *headView) findIDs(_ context.Context, ids []event.ID, yield func(row uint32) bool) error {
	v.head.mu.RLock()
	defer v.head.mu.RUnlock()
	for _, id := range ids {
		if !v.head.find(id, func(row int) bool { return row >= v.cols.N || yield(uint32(row)) }) {
			return nil
		}
	}
	return nil
}

func (v *headView) gather(_ context.Context, rows []uint32, _ event.FieldSet) (*column.Rows, []uint32, error) {
	return &v.cols, rows, nil
}

// keyOf returns e's place in the time orders.
func keyOf(e *event.Event) store.Key {
	return store.Key{Timestamp: e.Timestamp, Position: e.Position()}
}

// compareKeys compares in rising order.
func compareKeys(a, b store.Key) int {
	return cmp.Or(cmp.Compare(a.Timestamp, b.Timestamp),
		cmp.Compare(a.Position.Partition, b.Position.Partition),
		cmp.Compare(a.Position.Offset, b.Position.Offset))
}

// keyAt returns the key of row i of cols.
func keyAt(cols *column.Rows, i int) store.Key {
	k := store.Key{Timestamp: cols.Timestamps[i], Position: event.Position{Offset: cols.Offsets[i]}}
	if len(cols.Partitions) > 0 {
		k.Position.Partition = cols.Partitions[i]
	}
	return k
}
