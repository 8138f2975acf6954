package wal

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/vfs"
	"github.com/daybook-log/daybook/stream"
)

var update = flag.Bool("update", false, "write the golden files anew")

// goldenGroups is the log in testdata/golden.hex: a group of two frames, one of
// them with an empty record, and one of a frame; then the mark of Close. None is
// compressed, as what S2 makes of the same bytes is not part of the format.
var goldenGroups = [][][]string{
	{{`{"action":"a"}`}, {`{"action":"b"}`, ``, `x`}},
	{{`{"action":"c"}`}},
}

func writeGolden(t *testing.T) []byte {
	mem := vfs.NewMem()
	l := mustOpen(t, mem, crashDir, Options{})
	clock := int64(1_793_696_400_000_000_000)
	for _, frames := range goldenGroups {
		clock += 1_000_000
		l.opts.Now = clockAt(clock)
		var g *group
		for _, values := range frames {
			it := item{batch: &stream.Batch{}, encoded: new([]byte)}
			for _, v := range values {
				it.batch.Add(stream.Key{}, []byte(v))
			}
			*it.encoded, it.payload = appendPayload(nil, it.batch.Data, it.batch.Ends)
			g, _, _ = l.join(it)
		}
		if l.lead(g); g.err != nil {
			t.Fatal(g.err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return dump(t, mem, crashDir)[segmentPath(crashDir, 0)]
}

// TestGolden holds the format still: what is written is, byte for byte, what was
// written before, and can be read.
func TestGolden(t *testing.T) {
	path := filepath.Join("testdata", "golden.hex")
	got := writeGolden(t)
	if *update {
		if err := os.WriteFile(path, []byte(hex.Dump(got)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if hex.Dump(got) != string(want) {
		t.Errorf("written:\n%s\ngolden:\n%s", hex.Dump(got), want)
	}
	l := mustOpen(t, load(t, map[string][]byte{segmentPath(crashDir, 0): nil}, segmentPath(crashDir, 0), got), crashDir, Options{})
	defer l.Close()
	values, err := readAll(t, l)
	if err != nil || !slices.Equal(values, slices.Concat(slices.Concat(goldenGroups...)...)) {
		t.Errorf("read %q, %v", values, err)
	}
}

// TestGoldenCompressed reads what an earlier program wrote and compressed: 50
// events of seed 7 in one frame.
func TestGoldenCompressed(t *testing.T) {
	path := filepath.Join("testdata", "compressed.wal")
	name := segmentPath(crashDir, 0)
	want := newEventGen(7).batch(50)
	if *update {
		mem := vfs.NewMem()
		l := mustOpen(t, mem, crashDir, Options{Now: clockAt(5)})
		if err := l.Append(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		l.Close()
		if err := os.WriteFile(path, dump(t, mem, crashDir)[name], 0o644); err != nil {
			t.Fatal(err)
		}
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	l := mustOpen(t, load(t, map[string][]byte{name: nil}, name, content), crashDir, Options{})
	defer l.Close()
	r, err := l.Reader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := r.Next(t.Context())
	if err != nil || !bytes.Equal(got.Data, want.Data) || !slices.Equal(got.Ends, want.Ends) || got.ReceivedAt != 5 {
		t.Errorf("the frame read differs from what was written: %v", err)
	}
}

// TestPayload: any records come back from a payload, and compressible ones are
// smaller in it.
func TestPayload(t *testing.T) {
	gen := newEventGen(1)
	batches := []*stream.Batch{
		{},
		{Ends: []uint32{0}},
		{Ends: []uint32{0, 0, 0}},
		{Data: []byte("x"), Ends: []uint32{0, 1, 1}},
		{Data: bytes.Repeat([]byte("a"), 1<<20), Ends: []uint32{1 << 20}},
		gen.batch(1), gen.batch(2), gen.batch(1000),
	}
	for _, b := range batches {
		p, header := appendPayload([]byte("before"), b.Data, b.Ends)
		p = p[len("before"):]
		h := &frameHeader{count: b.Len(), payload: header}
		data, ends, err := decodePayload(h, p)
		if err != nil || !bytes.Equal(data, b.Data) || !slices.Equal(ends, b.Ends) {
			t.Errorf("%d records of %d bytes: %v", b.Len(), len(b.Data), err)
		}
		if len(b.Data) > 1000 && len(p) > len(b.Data)/2 {
			t.Errorf("%d bytes of data are stored in %d", len(b.Data), len(p))
		}
	}
}

// TestHeaderLimits: a header whose checksum is right is refused all the same when
// it claims what cannot be, before anything is allocated for it.
func TestHeaderLimits(t *testing.T) {
	good := frameHeader{pos: 100, group: 50, count: 2, base: 7, payload: payload{lengthsLen: 2, storedLen: 10, dataLen: 10}}
	tests := map[string]func(h *frameHeader){
		"":                              func(h *frameHeader) {},
		"group after the frame":         func(h *frameHeader) { h.group = 101 },
		"more records than lengths":     func(h *frameHeader) { h.count = 3 },
		"billions of records":           func(h *frameHeader) { h.count = -1 }, // 2^32-1 as written
		"billions of lengths":           func(h *frameHeader) { h.count, h.lengthsLen = -1, -1 },
		"data of 4 GiB":                 func(h *frameHeader) { h.codec, h.dataLen = codecS2, -1 },
		"stored data of 4 GiB":          func(h *frameHeader) { h.codec, h.storedLen = codecS2, -1 },
		"longer lengths than varints":   func(h *frameHeader) { h.lengthsLen = 11 },
		"a negative offset":             func(h *frameHeader) { h.base = -1 },
		"an unknown codec":              func(h *frameHeader) { h.codec = 2 },
		"data over the limit":           func(h *frameHeader) { h.codec, h.dataLen = codecS2, maxDataLen+1 },
		"stored data over the limit":    func(h *frameHeader) { h.codec, h.storedLen = codecS2, maxDataLen+1 },
		"uncompressed but of two sizes": func(h *frameHeader) { h.dataLen = 11 },
		"a mark with data":              func(h *frameHeader) { h.count, h.lengthsLen = 0, 0 },
	}
	for name, change := range tests {
		h := good
		change(&h)
		var p [frameHeaderSize]byte
		h.put(p[:])
		got, err := parseFrameHeader(p[:], 100)
		if name == "" && (err != nil || got != h) {
			t.Errorf("%+v was read as %+v, %v", h, got, err)
		}
		if name != "" && err == nil {
			t.Errorf("%s: taken", name)
		}
		if _, err := parseFrameHeader(p[:], 99); err == nil {
			t.Errorf("%s: taken at another position", name)
		}
	}
}

// TestSegmentNames: a name is twenty digits and the suffix, and nothing else.
func TestSegmentNames(t *testing.T) {
	for name, want := range map[string]int64{
		"00000000000000000042.wal": 42,
		"09223372036854775807.wal": 1<<63 - 1,
		"09223372036854775808.wal": -1,
		"+0000000000000000042.wal": -1,
		"-0000000000000000000.wal": -1,
		"0000000000000000042.wal":  -1,
		"00000000000000000042":     -1,
	} {
		if got, ok := parseSegmentName(name); ok != (want >= 0) || ok && got != want {
			t.Errorf("%s: %d, %t", name, got, ok)
		}
	}
}

// TestSearch finds a frame header wherever it lies with respect to the chunks
// that are read.
func TestSearch(t *testing.T) {
	const damage = 40
	const boundary = damage + 1 + searchChunk
	for at := boundary - frameHeaderSize - 2; at <= boundary+2; at++ {
		content := make([]byte, at+frameHeaderSize)
		if at%2 == 0 {
			copy(content[at-7:], frameMagic) // a false start
		}
		h := frameHeader{pos: int64(at), group: damage + 1, base: 3}
		h.put(content[at:])
		mem := load(t, map[string][]byte{"/f": nil}, "/f", content)
		err := withWindow(mem, "/f", 100, func(w *window) error {
			got, found, err := w.search(damage)
			if err == nil && (!found || got.pos != h.pos) {
				t.Errorf("the header at %d: found %t at %d", at, found, got.pos)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// FuzzReadSegment opens, reads and checks a log of arbitrary bytes, which must
// not panic nor take memory for what a header claims. What is read is in order.
func FuzzReadSegment(f *testing.F) {
	golden, err := os.ReadFile(filepath.Join("testdata", "compressed.wal"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(golden)
	f.Add(golden[:len(golden)-frameHeaderSize])
	f.Add(golden[:300])
	f.Add(append(appendSegmentHeader(nil, 0), make([]byte, 200)...))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, content []byte) {
		for _, content := range [][]byte{content, reseal(content)} {
			name := segmentPath(crashDir, 0)
			mem := load(t, map[string][]byte{name: nil}, name, content)
			if _, err := Check(t.Context(), mem, crashDir, CheckOptions{}); err != nil {
				t.Fatalf("Check: %v", err)
			}
			l, err := Open(mem, crashDir, Options{TailCacheBytes: 1}, quiet)
			if err != nil {
				if !errors.As(err, new(*DamageError)) {
					t.Fatalf("Open: %v", err)
				}
				continue
			}
			r, err := l.Reader(event.Positions{0})
			if err != nil {
				t.Fatal(err)
			}
			for next, end := int64(0), l.head.end; next < end; {
				b, err := r.Next(t.Context())
				if err != nil {
					if !errors.As(err, new(*DamageError)) {
						t.Fatalf("Next: %v", err)
					}
					break
				}
				if b.Base != next || b.Len() == 0 {
					t.Fatalf("read %d records from %d on, expected %d", b.Len(), b.Base, next)
				}
				for i := range b.Len() {
					_ = b.Value(i)
				}
				next += int64(b.Len())
			}
			r.Close()
			l.Close()
		}
	})
}

// reseal sets the checksums in content right wherever frames seem to follow each
// other, so that the fuzzer comes past them.
func reseal(content []byte) []byte {
	p := append(appendSegmentHeader(nil, 0), content[min(segmentHeaderSize, len(content)):]...)
	le := binary.LittleEndian
	for pos := segmentHeaderSize; pos+frameHeaderSize <= len(p); {
		h := p[pos : pos+frameHeaderSize]
		copy(h, frameMagic)
		le.PutUint32(h[4:], uint32(pos))
		size := int64(le.Uint32(h[32:])) + int64(le.Uint32(h[36:]))
		next := int64(pos) + frameHeaderSize + size
		if next <= int64(len(p)) {
			le.PutUint32(h[48:], checksum(p[pos+frameHeaderSize:next]))
		}
		le.PutUint32(h[52:], checksum(h[:52]))
		if next > int64(len(p)) {
			break
		}
		pos = int(next)
	}
	return p
}
