package parquet

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go/encoding/delta"
	"github.com/parquet-go/parquet-go/encoding/rle"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/store/column"
)

// What parquet-go encodes is decoded here, for every width of a value.
func TestDecodeDelta(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for width := range 65 {
		for _, n := range []int{0, 1, 2, 31, 32, 33, 128, 129, 130, 1000} {
			vs := make([]int64, n)
			for i := range vs {
				vs[i] = int64(r.Uint64() >> (64 - width) & math.MaxUint64)
				if width == 0 {
					vs[i] = 5
				}
			}
			b, err := new(delta.BinaryPackedEncoding).EncodeInt64(nil, vs)
			if err != nil {
				t.Fatal(err)
			}
			got := make([]int64, n)
			rest, ok := decodeDelta(got, n, append(b, "rest"...))
			if !ok || string(rest) != "rest" || !slices.Equal(got, vs) {
				t.Fatalf("width %d, %d values: %v, left over %q", width, n, ok, rest)
			}
			if _, ok := decodeDelta(got[:n/2], n, b); !ok || !slices.Equal(got[:n/2], vs[:n/2]) {
				t.Fatalf("width %d, the first half of %d values", width, n)
			}
		}
	}
}

func TestDecodeCodes(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for width := 1; width <= 20; width++ {
		for _, n := range []int{1, 7, 8, 9, 100, 1000} {
			vs := make([]int32, n)
			for i := range vs {
				vs[i] = r.Int32N(1 << width)
				if i > 0 && r.IntN(100) > 1 && i/50%2 == 0 { // runs too
					vs[i] = vs[i-1]
				}
			}
			b, err := (&rle.Encoding{BitWidth: width}).EncodeInt32(nil, vs)
			if err != nil {
				t.Fatal(err)
			}
			b = append([]byte{byte(width)}, b...)
			most := slices.Max(vs)
			got := make([]uint32, n)
			if !decodeCodes(got, b, int(most)+1) {
				t.Fatalf("width %d, %d values: not decoded", width, n)
			}
			for i := range got {
				if got[i] != uint32(vs[i])+1 {
					t.Fatalf("width %d, %d values: value %d is %d, want %d", width, n, i, got[i], vs[i]+1)
				}
			}
			if decodeCodes(got, b, int(most)) {
				t.Fatalf("width %d: index %d into a dictionary of as many", width, most)
			}
		}
	}
}

func TestLevels(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for range 300 {
		n := 1 + r.IntN(500)
		want := make([]byte, n)
		ones, turn := 0, 1+r.IntN(200)
		for i := range want {
			want[i] = byte(i / turn % 2)
			if r.IntN(10) == 0 {
				want[i] ^= 1
			}
			ones += int(want[i])
		}
		var l levels
		l.src = want
		page := l.append(nil, n, n-ones)
		b, rest, ok := splitLevels(append(page, 'x'))
		if !ok || string(rest) != "x" {
			t.Fatal("levels and values do not come apart")
		}
		got := make([]byte, n)
		present, ok := decodeLevels(got, b)
		if !ok || present != ones || !slices.Equal(got, want) {
			t.Fatalf("%d levels: %v, %d present, want %d", n, ok, present, ones)
		}
		if present, ok := countLevels(b, n); !ok || present != ones {
			t.Fatalf("%d levels: %v, %d counted, want %d", n, ok, present, ones)
		}
		if allPresent(b, n) != (ones == n) {
			t.Fatalf("%d of %d present", ones, n)
		}
		checkRanks(t, b, want)
		codes := make([]uint32, ones)
		for i := range codes {
			codes[i] = uint32(i + 1)
		}
		rows := make([]uint32, n)
		spread(rows, codes, b)
		next := uint32(0)
		for i := range rows {
			code := uint32(0)
			if want[i] == 1 {
				next++
				code = next
			}
			if rows[i] != code {
				t.Fatalf("row %d of %d has code %d, want %d", i, n, rows[i], code)
			}
		}
	}
}

func checkRanks(t *testing.T, b, want []byte) {
	t.Helper()
	for _, step := range []int{1, 3, 100} {
		ranks := ranker{h: hybrid{src: b, width: 1}}
		for i := 0; i < len(want); i += step {
			ones := 0
			for _, w := range want[:i] {
				ones += int(w)
			}
			rank, present, ok := ranks.rank(i)
			if !ok || rank != ones || present != (want[i] == 1) {
				t.Fatalf("row %d: rank %d, want %d; present %v; %v", i, rank, ones, present, ok)
			}
		}
	}
}

func TestHeader(t *testing.T) {
	for _, h := range []header{
		{raw: 1, size: 2, crc: 3, values: 4, encoding: 8},
		{dict: true, raw: math.MaxInt32, size: maxPage, crc: math.MaxUint32, values: MaxRows},
	} {
		b := h.append(nil)
		got, rest, err := parseHeader(append(b, "page"...))
		if err != nil || got != h || string(rest) != "page" {
			t.Errorf("%+v: got %+v, %q, %v", h, got, rest, err)
		}
		for n := range b {
			if _, _, err := parseHeader(b[:n]); err == nil {
				t.Errorf("%d of %d bytes were taken", n, len(b))
			}
		}
	}
}

func TestBounds(t *testing.T) {
	for _, c := range []struct{ v, lower, upper string }{
		{"", "", ""},
		{"abcd", "abcd", "abcd"},
		{"abcde", "abcd", "abce"},
		{"abc\x7fz", "abc\x7f", "abd"}, // one byte more would be a longer character
		{"abéé", "abé", "abê"},
		{"a€€", "a€", "a₭"},
		{"\U0010ffff\U0010ffff", "\U0010ffff", "\U0010ffff\U0010ffff"}, // nothing is greater
		{"ab\U0010ffffc", "ab", "ac"},
		{"a\ud7ffx", "a\ud7ff", "a\ue000"}, // over the surrogates
		{"\xff\xff\xff\xff\xff", "\xff\xff\xff\xff", "\xff\xff\xff\xff\xff"},
	} {
		if got := lowerBound(c.v, 4); got != c.lower || got > c.v {
			t.Errorf("lower bound of %q is %q, want %q", c.v, got, c.lower)
		}
		if got := upperBound(c.v, 4); got != c.upper || got < c.v {
			t.Errorf("upper bound of %q is %q, want %q", c.v, got, c.upper)
		}
	}
	r := rand.New(rand.NewPCG(4, 4))
	for range 20_000 {
		var b strings.Builder
		for range r.IntN(20) {
			b.WriteRune(rune(r.Int32N(utf8.MaxRune)))
		}
		v := strings.ToValidUTF8(b.String(), "?")
		n := 1 + r.IntN(20)
		lo, hi := lowerBound(v, n), upperBound(v, n)
		if lo > v || hi < v || len(lo) > n || !utf8.ValidString(lo) || !utf8.ValidString(hi) {
			t.Fatalf("%q at most %d bytes: %q, %q", v, n, lo, hi)
		}
	}
}

func TestDistinct(t *testing.T) {
	for _, want := range []int{1, 10, 1000, 30_000, 262_144} {
		var b bloomBuilder
		var s column.Strings
		for i := range 262_144 {
			s.Append(fmt.Sprint("value-", i%want))
		}
		filter := b.ofStrings(nil, &s)
		per := float64(len(filter)*256) / float64(want)
		if per < bloomBits*0.97 && want > 100 || per > bloomBits*1.1 && want > 1000 {
			t.Errorf("%d distinct values: %d bytes, %.1f bits each", want, len(filter)*32, per)
		}
	}
}

func TestBloomHeader(t *testing.T) {
	es := make([]event.ID, 100)
	var b bloomBuilder
	var w Writer
	for n := 1; n < 40_000; n *= 3 {
		filter := b.ofIDs(nil, slices.Repeat(es, 1))
		filter = slices.Repeat(filter, n)
		h := w.marshal(bloomHeaderOf(filter.Bytes()))
		size, head, err := bloomHeader(append(h, filter.Bytes()...))
		if err != nil || size != int64(len(filter))*32 || head != len(h) || head > maxBloomHeader {
			t.Errorf("filter of %d blocks: %d bytes after a header of %d, %v", len(filter), size, head, err)
		}
	}
}

// No decoder panics or makes more memory than its result, whatever it is given.
func FuzzDecode(f *testing.F) {
	ints, _ := new(delta.BinaryPackedEncoding).EncodeInt64(nil, []int64{1, 5, 1 << 40, -3})
	codes, _ := (&rle.Encoding{BitWidth: 3}).EncodeInt32(nil, []int32{1, 1, 1, 1, 1, 1, 1, 1, 5, 6, 7})
	f.Add(ints, uint16(4))
	f.Add(append([]byte{3}, codes...), uint16(11))
	f.Add([]byte("\x03\x00\x00\x00abc"), uint16(1))
	f.Add((&header{raw: 5, size: 6}).append(nil), uint16(1))
	f.Fuzz(func(t *testing.T, b []byte, n uint16) {
		rows := int(n)
		decodeDelta(make([]int64, rows), rows, b)
		decodeDelta(make([]int64, rows/2), rows, b)
		out := make([]uint32, rows)
		if decodeCodes(out, b, 10) {
			for _, c := range out {
				if c < 1 || c > 10 {
					t.Fatalf("code %d of 10", c)
				}
			}
		}
		if d, ok := decodeDict(b, rows); ok && d.Len() != rows {
			t.Fatalf("%d strings of %d", d.Len(), rows)
		}
		var s column.Strings
		decodeStrings(&s, b, rows, rows, nil, make([]int64, rows))
		parseHeader(b)
		bloomHeader(b)
		w := thriftWalker{b: b}
		w.structure(0)
		fuzzLevels(t, b, rows)
	})
}

func fuzzLevels(t *testing.T, b []byte, rows int) {
	lv, _, ok := splitLevels(b)
	if !ok {
		return
	}
	dst := make([]byte, rows)
	present, ok := decodeLevels(dst, lv)
	counted, same := countLevels(lv, rows)
	if ok != same || ok && present != counted {
		t.Fatalf("%d present, %d counted", present, counted)
	}
	if ok {
		spread(make([]uint32, rows), make([]uint32, present), lv)
	}
	ranks := ranker{h: hybrid{src: lv, width: 1}}
	for i := 0; i < rows; i += 7 {
		if _, _, ok := ranks.rank(i); !ok {
			return
		}
	}
}
