package column

// When a dictionary stops paying. A dictionary is worth its hashing as long as
// values come again; how often they will is guessed from how often they did:
// among r values drawn evenly from u, about u(1-exp(-r/u)) are distinct.
//
//   - Of 8,192 distinct values fewer than one in eight came twice: the column is
//     (nearly) unique, as request and trace identities are, or has more than
//     about 30,000 values. Asking earlier would turn 10,000 users plain.
//   - Half of the values are distinct when there are 32,768 of them.
//   - Values come less than four times and are long: a reader that wants one row
//     would have to decompress a dictionary of megabytes for it.
//   - More than maxDict values.
//
// BenchmarkAppend measures both sides. A value that comes again costs 8 ns when it
// is that of the row before and about 25 ns else; a new one costs 60 to 120 ns
// (its share of the growing table in it), a row of a plain column 15 ns. So a
// unique column pays for its first 8,192 rows only: 3 ns a row of a row group.
const (
	uniqueAfter  = 8 << 10  // distinct values
	halfAfter    = 32 << 10 // distinct values
	longDict     = 1 << 20  // bytes of dictionary
	longRepeated = 4        // times that a value of a long dictionary must come
)

// dictPays reports whether a dictionary of n strings, size bytes together, is
// worth having for a column with the given number of present values.
func dictPays(n, size, present int) bool {
	switch {
	case n > maxDict:
		return false
	case n >= halfAfter && n > present/2:
		return false
	case n >= uniqueAfter && n > present/8*7:
		return false
	case size > longDict && n > present/longRepeated:
		return false
	}
	return true
}

// Builder gathers the values of one text field, row by row. It starts coded and
// turns plain when the dictionary stops paying (see the constants in builder.go
// for when, and the measurement behind them). Appending is for one goroutine;
// Snapshot may be called by the appending goroutine and its result read by any
// number of others while appending goes on.
//
// Memory is only ever appended to, never changed, once a snapshot can see it:
// that is what makes sharing safe.
type Builder struct {
	capacity int
	rows     int
	present  int // rows that have a value

	dict   Strings
	table  table
	codes  []uint32 // nil as long as all rows are alike: absent, or dict's only string
	last   uint32   // code of the last row
	shared *Strings // dict as the last snapshot saw it

	turned bool    // plain from now on: dict, table and codes are gone
	plain  Strings // a string per row
}

// NewBuilder returns a builder for up to capacity rows; more only grow it. It
// allocates nothing until the first present value.
func NewBuilder(capacity int) *Builder { return &Builder{capacity: capacity} }

// Len returns the number of rows appended.
func (b *Builder) Len() int { return b.rows }

// At returns the value of row i, "" when it is absent. It is valid as long as b
// is not appended to.
func (b *Builder) At(i int) string {
	c := b.last // all rows are alike
	switch {
	case b.turned:
		return b.plain.At(i)
	case b.codes != nil:
		c = b.codes[i]
	}
	if c == 0 {
		return ""
	}
	return b.dict.At(int(c) - 1)
}

// Append adds a row; "" is absent. The string is copied.
func (b *Builder) Append(v string) {
	var c uint32
	switch {
	case b.turned:
		b.appendPlain(v)
		return
	case v == "":
	case b.last != 0 && b.dict.At(int(b.last)-1) == v: // values come in runs
		c = b.last
	default:
		if c = b.intern(v); b.turned {
			b.appendPlain(v)
			return
		}
	}
	b.appendCode(c)
}

// intern returns the code of v. A new value may turn b plain instead.
func (b *Builder) intern(v string) uint32 {
	n := len(b.dict.Ends)
	c := b.table.code(&b.dict, v)
	if len(b.dict.Ends) > n && !dictPays(n+1, len(b.dict.Data), b.present+1) {
		b.turnPlain()
	}
	return c
}

// appendCode adds a row with code c.
func (b *Builder) appendCode(c uint32) {
	if b.codes == nil {
		if b.rows == 0 || c == b.last {
			b.appendAlike(c, 1)
			return
		}
		b.spell(1)
	}
	if len(b.codes) == cap(b.codes) {
		b.codes = grow(b.codes, 1, b.capacity)
	}
	b.codes = append(b.codes, c)
	b.rows++
	if c != 0 {
		b.present++
	}
	b.last = c
}

// appendAlike adds n rows of code c to rows that all have it already.
func (b *Builder) appendAlike(c uint32, n int) {
	b.rows += n
	if c != 0 {
		b.present += n
	}
	b.last = c
}

// spell writes out the codes of rows that were all alike, leaving room for n more.
func (b *Builder) spell(n int) {
	b.codes = grow[uint32](nil, b.rows+n, b.capacity)[:b.rows]
	for i := range b.codes {
		b.codes[i] = b.last
	}
}

func (b *Builder) appendPlain(v string) {
	if len(b.plain.Data)+len(v) > cap(b.plain.Data) {
		b.growData(len(v))
	}
	if len(b.plain.Ends) == cap(b.plain.Ends) {
		b.plain.Ends = grow(b.plain.Ends, 1, b.capacity)
	}
	b.plain.Append(v)
	b.rows++
	if v != "" {
		b.present++
	}
}

// growData makes room for n more bytes of plain strings, and for as many as the
// rows still to come should need if they are like those that came.
func (b *Builder) growData(n int) {
	size := len(b.plain.Data)
	want := max(size+n, 2*size, 4<<10)
	if rows := len(b.plain.Ends); rows >= 1024 && rows < b.capacity {
		want = max(size+n, size+foresee(size, rows, b.capacity))
	}
	b.plain.Data = append(make([]byte, 0, int(min(int64(want), max(int64(size+n), MaxData)))), b.plain.Data...)
}

// maxForesight bounds how much is reserved for rows that are still to come: a few
// large strings say little about the next quarter million.
const maxForesight = 32 << 20

// foresee returns how many bytes to reserve for the rows that are missing to
// capacity, when rows rows took size bytes: what they need if they are alike, but
// at most as much again as there is, or maxForesight.
func foresee(size, rows, capacity int) int {
	perRow := float64(size) / float64(rows)
	return int(min(1.05*perRow*float64(capacity-rows), float64(max(size, maxForesight))))
}

// turnPlain makes b plain, in new memory.
func (b *Builder) turnPlain() {
	b.turned = true
	size, rows, want := b.plainSize(), b.rows+1, max(b.rows+1, b.capacity)
	b.plain.Ends = make([]uint32, 0, want)
	b.plain.Data = make([]byte, 0, size+foresee(size, rows, want))
	for i := range b.rows {
		c := b.last
		if b.codes != nil {
			c = b.codes[i]
		}
		if c == 0 {
			b.plain.Append("")
		} else {
			b.plain.Append(b.dict.At(int(c) - 1))
		}
	}
	b.dict, b.table, b.codes, b.shared, b.last = Strings{}, table{}, nil, nil, 0
}

// plainSize returns how many bytes the strings of all rows are.
func (b *Builder) plainSize() int {
	size := 0
	for _, c := range b.codes {
		if c != 0 {
			size += len(b.dict.At(int(c) - 1))
		}
	}
	if b.codes == nil && b.last != 0 {
		size = b.rows * len(b.dict.At(0))
	}
	return size
}

// Snapshot returns the rows appended so far, sharing memory that later appends
// do not change.
func (b *Builder) Snapshot() Text {
	t := Text{Rows: b.rows}
	switch {
	case b.present == 0:
	case b.turned:
		t.Plain = b.plain.share()
	default:
		if b.shared == nil || len(b.shared.Ends) != len(b.dict.Ends) {
			s := b.dict.share()
			b.shared = &s
		}
		t.Dict = b.shared
		if b.codes != nil {
			t.Codes = b.codes[:b.rows:b.rows]
		}
	}
	return t
}

// Bytes returns about how much memory b holds. A column cannot hold more than
// [MaxData] bytes of strings: the owner of many builders stops appending when
// their bytes together reach its own limit, which lies far below.
func (b *Builder) Bytes() int64 {
	return b.dict.bytes() + b.plain.bytes() + 4*int64(cap(b.codes)) + 4*int64(cap(b.table.slots))
}

// grow returns s with room for n more: twice what it had, but no more than the
// capacity foreseen unless it must.
func grow[T any](s []T, n, capacity int) []T {
	need := len(s) + n
	want := max(need, 2*cap(s), 256)
	if want > capacity && need <= capacity {
		want = capacity
	}
	return append(make([]T, 0, want), s...)
}

// Gather returns t with its rows in the order of rows: row i of the result is
// row rows[i] of t. A dictionary is shared, not copied.
func Gather(t *Text, rows []uint32) Text {
	out := Text{Rows: len(rows), Dict: t.Dict}
	switch {
	case t.Codes != nil:
		out.Codes = make([]uint32, len(rows))
		for i, r := range rows {
			out.Codes[i] = t.Codes[r]
		}
	case t.Dict == nil && len(t.Plain.Ends) > 0 && len(rows) > 0:
		size := 0
		for _, r := range rows {
			size += len(t.Plain.At(int(r)))
		}
		out.Plain.Data = make([]byte, 0, size)
		out.Plain.Ends = make([]uint32, 0, len(rows))
		for _, r := range rows {
			out.Plain.Append(t.Plain.At(int(r)))
		}
	}
	return out
}

// Concat returns the rows of the given columns one after the other, merging
// dictionaries: the work per row is to look a code up in a table, and only
// dictionary entries that some row uses are hashed. It turns plain under the
// Builder's rule, and begins plain when a quarter of the rows are so already.
// It panics when the strings of the result are more than [MaxData] bytes.
func Concat(ts []*Text) Text {
	rows, plainRows, plainSize := 0, 0, 0
	for _, t := range ts {
		rows += t.Rows
		plainRows += len(t.Plain.Ends)
		plainSize += len(t.Plain.Data)
	}
	b := NewBuilder(rows)
	if plainRows > rows/4 {
		b.turned = true
		b.plain.mustFit(plainSize)
		b.plain.Ends = make([]uint32, 0, rows)
		b.plain.Data = make([]byte, 0, plainSize)
	}
	for _, t := range ts {
		b.appendText(t)
	}
	return b.Snapshot()
}

// appendText adds the rows of t.
func (b *Builder) appendText(t *Text) {
	i := 0
	switch {
	case b.turned && len(t.Plain.Ends) > 0:
		b.appendStrings(&t.Plain)
		return
	case b.turned || len(t.Plain.Ends) > 0:
	case t.Dict == nil:
		b.appendRun(0, t.Rows)
		return
	case t.Codes == nil && t.Rows > 0:
		if c := b.intern(t.Dict.At(0)); !b.turned {
			b.appendRun(c, t.Rows)
			return
		}
	default:
		i = b.appendCodes(t)
	}
	for ; i < t.Rows; i++ {
		b.Append(t.At(i))
	}
}

// appendStrings adds a row for each of s to a plain b.
func (b *Builder) appendStrings(s *Strings) {
	b.plain.mustFit(len(s.Data))
	base := uint32(len(b.plain.Data))
	b.plain.Data = append(b.plain.Data, s.Data...)
	start := uint32(0)
	for _, end := range s.Ends {
		b.plain.Ends = append(b.plain.Ends, base+end)
		if end > start {
			b.present++
		}
		start = end
	}
	b.rows += len(s.Ends)
}

// appendRun adds n rows of code c.
func (b *Builder) appendRun(c uint32, n int) {
	if n == 0 {
		return
	}
	if b.codes == nil && (b.rows == 0 || c == b.last) {
		b.appendAlike(c, n)
		return
	}
	if b.codes == nil {
		b.spell(max(b.capacity-b.rows, n))
	}
	for range n {
		b.codes = append(b.codes, c)
	}
	b.appendAlike(c, n)
}

// appendCodes adds the rows of t, which is coded, and returns how many it added
// before b turned plain.
func (b *Builder) appendCodes(t *Text) int {
	const unknown = ^uint32(0)
	mine := make([]uint32, t.Dict.Len()+1) // t's code → b's
	for c := range mine[1:] {
		mine[c+1] = unknown
	}
	if b.codes == nil {
		b.spell(max(b.capacity-b.rows, len(t.Codes)))
	}
	start := len(b.codes)
	codes, absent := b.codes, 0
	for _, c := range t.Codes {
		m := mine[c]
		if m == unknown {
			b.advance(codes, absent)
			absent = 0
			if m = b.intern(t.Dict.At(int(c) - 1)); b.turned {
				break
			}
			mine[c] = m
		}
		if m == 0 {
			absent++
		}
		codes = append(codes, m)
	}
	if b.turned {
		return len(codes) - start
	}
	b.advance(codes, absent)
	return t.Rows
}

// advance makes codes, which begins with the codes of b, those of b. Of the new
// ones absent are 0.
func (b *Builder) advance(codes []uint32, absent int) {
	n := len(codes) - len(b.codes)
	if n == 0 {
		return
	}
	b.codes = codes
	b.rows += n
	b.present += n - absent
	b.last = codes[len(codes)-1]
}
