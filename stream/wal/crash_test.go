package wal

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/stream"
)

// history runs one random sequence of appends, releases and reopenings of a log
// and remembers what was promised. The same seed makes the same operations on
// the file system, up to the first one that fails.
type history struct {
	t    *testing.T
	mem  *vfs.Mem
	rng  *rand.Rand
	opts Options

	clock     int64
	serial    int
	attempted map[string]bool  // values given to Append
	acked     map[int64]string // by offset
	read      map[int64]string // what the reader was handed
	released  int64
	refused   int // appends that failed
	id        event.LogID
}

const crashDir = "/data/log"

func newHistory(t *testing.T, mem *vfs.Mem, seed uint64) *history {
	return &history{
		t: t, mem: mem, rng: rand.New(rand.NewPCG(seed, 0)),
		opts: Options{
			SegmentBytes: 6000, IndexEvery: 500, TailCacheBytes: 4000, RetainBytes: 15_000,
		},
		attempted: map[string]bool{}, acked: map[int64]string{}, read: map[int64]string{},
	}
}

// open opens the log; nil when a fault kept it from that.
func (h *history) open() *Log {
	l, err := Open(h.mem, crashDir, h.opts, quiet)
	if err != nil {
		var damage *DamageError
		if errors.As(err, &damage) {
			h.t.Fatalf("Open took a crash for damage: %v", err)
		}
		return nil
	}
	h.identify(l)
	return l
}

// identify checks that the log is the one that was opened before.
func (h *history) identify(l *Log) {
	if h.id.IsZero() {
		h.id = l.ID()
	}
	if h.id != l.ID() {
		h.t.Fatalf("log %s has become log %s", h.id, l.ID())
	}
}

// run runs steps until the file system crashes or they end.
func (h *history) run(steps int) {
	var l *Log
	var r *reader
	for range steps {
		if l == nil {
			if l = h.open(); l == nil {
				continue
			}
			s, err := l.Reader(event.Positions{l.segments[0].base})
			if err != nil {
				h.t.Fatal(err)
			}
			r = s.(*reader)
		}
		switch n := h.rng.IntN(20); {
		case n < 15:
			h.group(l)
			h.follow(l, r)
		case n < 17:
			h.released = max(h.released, h.rng.Int64N(l.head.end+1))
			l.Release(event.Positions{h.released})
		case n < 19:
			r.Close()
			l.Close() // a fault may make it fail; what it promised was promised before
			l = nil
		default: // the process is killed, the kernel lives
			r.Close()
			l.closed = true
			l.lock.Close()
			l = nil
		}
	}
}

// group appends several batches that share a commit, as concurrent publishers
// would: some to be merged, some with a frame each.
func (h *history) group(l *Log) {
	h.clock += h.rng.Int64N(1000)
	l.opts.Now = clockAt(h.clock)
	failedBefore := l.Failed() != nil
	var g *group
	for range 1 + h.rng.IntN(4) {
		b := &stream.Batch{}
		for range 1 + h.rng.IntN(4) {
			value := h.value()
			h.attempted[value] = true
			b.Add(stream.Key{}, []byte(value))
		}
		if err := l.admit(h.t.Context(), b); err != nil {
			h.refused++
			continue
		}
		it := item{batch: b}
		if h.rng.IntN(2) == 0 {
			it.encoded = new([]byte)
			*it.encoded, it.payload = appendPayload(nil, b.Data, b.Ends)
		}
		g, _, _ = l.join(it)
	}
	if g == nil {
		return
	}
	l.lead(g)
	if g.err != nil {
		h.refused++
		if full := errors.Is(g.err, stream.ErrFull); full == errors.Is(g.err, stream.ErrFailed) || full != (l.Failed() == nil) {
			h.t.Fatalf("append: %v; the log has failed: %v", g.err, l.Failed())
		}
		return
	}
	if failedBefore {
		h.t.Fatal("a log that had failed acknowledged an append")
	}
	for _, it := range g.items {
		for i := range it.batch.Len() {
			offset := it.base + int64(i)
			if other, taken := h.acked[offset]; taken {
				h.t.Fatalf("offset %d was given to %.20q and to %.20q", offset, other, it.batch.Value(i))
			}
			h.acked[offset] = string(it.batch.Value(i))
		}
	}
}

func (h *history) value() string {
	h.serial++
	value := fmt.Appendf(nil, "record %d ", h.serial)
	for range h.rng.IntN(40) { // incompressible, so that frames span sectors
		value = binary.LittleEndian.AppendUint64(value, h.rng.Uint64())
	}
	return string(value)
}

// follow reads to the end of the log.
func (h *history) follow(l *Log, r *reader) {
	for r.next < l.head.end {
		b, err := r.Next(h.t.Context())
		var gap *stream.GapError
		var damage *DamageError
		switch {
		case errors.As(err, &gap) && gap.To <= h.released:
			continue
		case errors.As(err, &damage) || errors.As(err, &gap):
			h.t.Fatalf("reading along: %v", err)
		case err != nil:
			return // a fault
		}
		for i := range b.Len() {
			h.read[b.Base+int64(i)] = string(b.Value(i))
		}
	}
}

// verify opens what is left and compares it with what was promised.
func (h *history) verify() {
	h.t.Helper()
	h.mem.SetHook(nil)
	l, err := Open(h.mem, crashDir, h.opts, quiet)
	if err != nil {
		h.t.Fatalf("Open after the fault: %v", err)
	}
	defer l.Close()
	h.identify(l)
	start, end := l.segments[0].base, l.head.end
	if start > h.released {
		h.t.Fatalf("the log starts at %d, released was %d", start, h.released)
	}
	held := map[int64]string{}
	seen := map[string]int64{}
	for offset, value := range all(h.t, l) {
		held[offset] = value
		if !h.attempted[value] {
			h.t.Fatalf("offset %d holds %.20q, which nobody appended", offset, value)
		}
		if first, twice := seen[value]; twice {
			h.t.Fatalf("%.20q lies at %d and at %d", value, first, offset)
		}
		seen[value] = offset
	}
	if int64(len(held)) != end-start {
		h.t.Fatalf("the log holds %d records from %d to %d", len(held), start, end)
	}
	for _, promised := range []map[int64]string{h.acked, h.read} {
		for offset, value := range promised {
			if offset >= start && held[offset] != value {
				h.t.Fatalf("offset %d held %.20q for a publisher or reader, now %.20q", offset, value, held[offset])
			}
		}
	}
	// It is as good as new.
	b := &stream.Batch{}
	b.Add(stream.Key{}, []byte("after"))
	if err := l.Append(h.t.Context(), b); err != nil || b.Base != end {
		h.t.Fatalf("append after the fault: at %d of %d, %v", b.Base, end, err)
	}
}

// all yields every record of l with its offset.
func all(t testing.TB, l *Log) func(yield func(int64, string) bool) {
	return func(yield func(int64, string) bool) {
		t.Helper()
		start, end := l.segments[0].base, l.head.end
		r, err := l.Reader(event.Positions{start})
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		for next := start; next < end; {
			b, err := r.Next(t.Context())
			if err != nil {
				t.Fatalf("read at %d: %v", next, err)
			}
			if b.Base != next {
				t.Fatalf("read a batch at %d, expected %d", b.Base, next)
			}
			for i := range b.Len() {
				if !yield(b.Base+int64(i), string(b.Value(i))) {
					return
				}
			}
			next += int64(b.Len())
		}
	}
}

const crashSteps = 40

// changes returns the operations of the history of seed, without a fault, that a
// fault can be put at.
func changes(t *testing.T, seed uint64) []vfs.Op {
	mem := vfs.NewMem()
	var ops []vfs.Op
	mem.SetHook(func(op vfs.Op) error {
		if op.Changes() {
			ops = append(ops, op)
		}
		return nil
	})
	h := newHistory(t, mem, seed)
	h.run(crashSteps)
	if h.refused > 0 {
		t.Fatalf("%d appends failed without a fault", h.refused)
	}
	h.mem = mem.Crash(h.rng)
	h.verify()
	return ops
}

// crashSeeds is how many histories each test crashes; more of them look further.
var crashSeeds = flag.Uint64("crash.seeds", 2, "histories per crash test")

// TestCrashAtEveryOperation cuts the power before every operation in turn, and
// lets the disk keep a different part of what was not synced each time.
func TestCrashAtEveryOperation(t *testing.T) {
	for seed := range *crashSeeds {
		for _, at := range changes(t, seed) {
			for luck := range uint64(6) {
				mem := vfs.NewMem()
				mem.SetHook(func(op vfs.Op) error {
					if op.N == at.N {
						return vfs.ErrCrashed
					}
					return nil
				})
				h := newHistory(t, mem, seed)
				h.run(crashSteps)
				h.mem = mem.Crash(rand.New(rand.NewPCG(seed, luck)))
				h.verify()
				if t.Failed() {
					t.Fatalf("seed %d, crash at %+v, luck %d", seed, at, luck)
				}
			}
		}
	}
}

// TestCrashTwice cuts the power again while Open repairs what the first cut left.
func TestCrashTwice(t *testing.T) {
	for seed := range *crashSeeds {
		for _, at := range changes(t, seed) {
			for second := range 8 {
				mem := vfs.NewMem()
				mem.SetHook(func(op vfs.Op) error {
					if op.N == at.N {
						return vfs.ErrCrashed
					}
					return nil
				})
				h := newHistory(t, mem, seed)
				h.run(crashSteps)
				rng := rand.New(rand.NewPCG(seed, uint64(second)))
				h.mem = mem.Crash(rng)
				n := 0
				h.mem.SetHook(func(op vfs.Op) error {
					if op.Changes() {
						if n++; n > second {
							return vfs.ErrCrashed
						}
					}
					return nil
				})
				h.run(crashSteps)
				h.mem = h.mem.Crash(rng)
				h.verify()
			}
		}
	}
}

// TestErrorAtEveryOperation makes every operation in turn fail, also with those
// that come right after it, goes on on the same kernel, and then cuts the power.
func TestErrorAtEveryOperation(t *testing.T) {
	short := func(n int, err error) error { return &vfs.ShortWrite{N: n, Err: err} }
	faults := []struct {
		name   string
		inARow int
		of     func(op vfs.Op) error
	}{
		{"EIO", 1, func(vfs.Op) error { return syscall.EIO }},
		{"EIO twice", 2, func(vfs.Op) error { return syscall.EIO }}, // an fsync and the cut behind it
		{"EIO three times", 3, func(vfs.Op) error { return syscall.EIO }},
		{"EIO after a short write", 1, func(op vfs.Op) error { return onWrite(op, short(40, syscall.EIO)) }},
		{"ENOSPC", 1, func(op vfs.Op) error { return onGrowth(op, syscall.ENOSPC) }},
		{"ENOSPC after a short write", 1, func(op vfs.Op) error { return onWrite(op, short(700, syscall.ENOSPC)) }},
		{"a short write without an error", 1, func(op vfs.Op) error { return onWrite(op, short(10, nil)) }},
	}
	for _, fault := range faults {
		t.Run(fault.name, func(t *testing.T) {
			refused := 0
			for seed := range *crashSeeds {
				for _, at := range changes(t, seed) {
					if fault.of(at) == nil {
						continue
					}
					mem := vfs.NewMem()
					mem.SetHook(func(op vfs.Op) error {
						if at.N <= op.N && op.N < at.N+fault.inARow {
							return fault.of(op)
						}
						return nil
					})
					h := newHistory(t, mem, seed)
					h.run(crashSteps)
					mem.SetHook(nil)
					h.mem = mem.Crash(rand.New(rand.NewPCG(seed, uint64(at.N))))
					h.verify()
					refused += h.refused
				}
			}
			if refused == 0 {
				t.Error("no append failed: the faults were not met")
			}
		})
	}
}

func onWrite(op vfs.Op, err error) error {
	if op.Kind == "Write" {
		return err
	}
	return nil
}

func onGrowth(op vfs.Op, err error) error {
	if op.Kind == "Write" || op.Kind == "Create" {
		return err
	}
	return nil
}

// TestFullDisk: while there is no room every append says so and nothing is lost;
// when there is room again, appending goes on.
func TestFullDisk(t *testing.T) {
	for seed := range *crashSeeds {
		for _, at := range changes(t, seed) {
			if at.Kind != "Write" && at.Kind != "Create" {
				continue
			}
			mem := vfs.NewMem()
			rng := rand.New(rand.NewPCG(seed, uint64(at.N)))
			writes := 0
			mem.SetHook(func(op vfs.Op) error {
				if op.N < at.N || op.Kind != "Write" && op.Kind != "Create" {
					return nil
				}
				if writes++; writes > 5 {
					return nil
				}
				if op.Kind == "Create" {
					return syscall.ENOSPC
				}
				return &vfs.ShortWrite{N: rng.IntN(60), Err: syscall.ENOSPC}
			})
			h := newHistory(t, mem, seed)
			l := h.open()
			if l == nil {
				continue // not even the first segment had room
			}
			for range 25 {
				h.group(l)
				if err := l.Failed(); err != nil {
					t.Fatalf("a full disk at %+v failed the log: %v", at, err)
				}
			}
			if h.refused > 5 {
				t.Fatalf("%d appends were refused for 5 writes without room", h.refused)
			}
			if err := l.Close(); err != nil {
				t.Fatalf("Close: %v", err)
			}
			h.verify()
		}
	}
}

// TestFlippedBits flips every bit of a small log that was closed. Each flip is
// either refused by Open, or reported by a reader before the record it hit, or
// makes no difference; Check finds all but the last.
func TestFlippedBits(t *testing.T) {
	mem := vfs.NewMem()
	opts := Options{SegmentBytes: 120, Now: clockAt(1)}
	l := mustOpen(t, mem, crashDir, opts)
	small := func(n int) *stream.Batch {
		b := &stream.Batch{}
		for i := range n {
			b.Add(stream.Key{}, fmt.Appendf(nil, "record %d of %d", i, n))
		}
		return b
	}
	for n := range 4 {
		if err := l.Append(t.Context(), small(1+n)); err != nil {
			t.Fatal(err)
		}
	}
	l.Close()
	l = mustOpen(t, mem, crashDir, opts)
	if err := l.Append(t.Context(), small(1)); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, value := range all(t, l) {
		want = append(want, value)
	}
	l.Close()
	files := dump(t, mem, crashDir)
	if len(files) < 3 {
		t.Fatalf("the log has %d segments, the test wants more", len(files))
	}

	harmless := map[string]int{}
	for name, content := range files {
		for bit := range len(content) * 8 {
			flipped := slices.Clone(content)
			flipped[bit/8] ^= 1 << (bit % 8)
			damaged := load(t, files, name, flipped)
			report, err := Check(t.Context(), damaged, crashDir, CheckOptions{})
			if err != nil {
				t.Fatalf("Check: %v", err)
			}
			if len(report.Findings) == 0 {
				t.Errorf("Check does not see bit %d of %s flipped", bit, name)
			}
			l, err := Open(damaged, crashDir, opts, quiet)
			if err != nil {
				wantDamage(t, err, name, bit/8)
				continue
			}
			got, err := readAll(t, l)
			switch {
			case err != nil:
				wantDamage(t, err, name, bit/8)
			case slices.Equal(got, want):
				harmless[name]++
			default:
				t.Fatalf("bit %d of %s flipped: %d records are read where there were %d, without an error", bit, name, len(got), len(want))
			}
			l.Close()
		}
	}
	// Only the mark that Close wrote may be lost unnoticed.
	for name, bits := range harmless {
		if name != lastOf(files) || bits != frameHeaderSize*8 {
			t.Errorf("%d flipped bits of %s made no difference", bits, name)
		}
	}
}

// wantDamage checks that err names the file, and the frame or header that the
// byte lies in or one whose place it hides.
func wantDamage(t *testing.T, err error, name string, at int) {
	t.Helper()
	var damage *DamageError
	if !errors.As(err, &damage) {
		t.Fatalf("byte %d of %s: %v, want a DamageError", at, name, err)
	}
	if damage.File != name || damage.Offset > int64(at) {
		t.Fatalf("byte %d of %s is damaged, the error says: %v", at, name, err)
	}
}

func readAll(t *testing.T, l *Log) (values []string, err error) {
	r, err := l.Reader(event.Positions{l.segments[0].base})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for next := l.segments[0].base; next < l.head.end; {
		b, err := r.Next(t.Context())
		if err != nil {
			return nil, err
		}
		for i := range b.Len() {
			values = append(values, string(b.Value(i)))
		}
		next += int64(b.Len())
	}
	return values, nil
}
