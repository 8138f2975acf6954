package parquet

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/store/column"
)

// requestIDs writes a row group of n rows whose request_id is what value gives,
// plain or as a dictionary, and returns the file.
func requestIDs(t testing.TB, n int, coded bool, value func(i int) string) ([]byte, Info) {
	t.Helper()
	rows := &column.Rows{N: n}
	var plain, dict column.Strings
	codes := map[string]uint32{}
	text := column.Text{Rows: n, Dict: &dict}
	for i := range n {
		rows.IDs = append(rows.IDs, event.ID{1: byte(i >> 16), 2: byte(i >> 8), 3: byte(i), 6: 0x70})
		rows.Timestamps, rows.ReceivedAt = append(rows.Timestamps, int64(i)), append(rows.ReceivedAt, int64(i))
		rows.Offsets = append(rows.Offsets, int64(i))
		v := value(i)
		plain.Append(v)
		if codes[v] == 0 {
			dict.Append(v)
			codes[v] = uint32(dict.Len())
		}
		text.Codes = append(text.Codes, codes[v])
	}
	if !coded {
		text = column.Text{Rows: n, Plain: plain}
	}
	rows.Text[event.RequestID] = text
	var file bytes.Buffer
	w := NewWriter(&file)
	if err := w.WriteRowGroup(rows); err != nil {
		t.Fatal(err)
	}
	info, err := w.Close()
	if err != nil {
		t.Fatal(err)
	}
	return file.Bytes(), info
}

func openGroup(t testing.TB, b []byte, info Info) *RowGroup {
	t.Helper()
	f, err := Open("x", bytes.NewReader(b), info, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	return f.RowGroups()[0]
}

// TestParts: of 20,000 rows, 320 are a part. What a value contains, in any case,
// is found in its part; what none has is found in few.
func TestParts(t *testing.T) {
	const n = 20_000
	const everywhere = ^uint64(0)
	part := func(row int) uint64 { return 1 << (row / 320) }
	value := func(i int) string {
		switch i {
		case 700:
			return "Request/ÄÖ/Übermut-Zebra"
		case 19_999:
			return "Zulus"
		}
		return fmt.Sprintf("%016x", uint64(i+1)*0x9e3779b97f4a7c15)
	}
	tests := []struct {
		piece string
		want  uint64 // parts that must be among those found
		most  int    // how many others may be
	}{
		{value(0), part(0), 10},
		{value(12_345), part(12_345), 10},
		{strings.ToUpper(value(12_345)), part(12_345), 10},
		{value(12_345)[2:14], part(12_345), 20},
		{"zebra", part(700), 40}, // one gram
		{"T-ZEBRA", part(700), 20},
		{"BERMUT-zebra", part(700), 10},
		{"Übermut", part(700), 32}, // by what of it is ASCII
		{"ÄÖ/Üb", everywhere, 0},   // by nothing: no five of ASCII in a row
		{"zulus", part(19_999), 40},
		{"zulu", everywhere, 0}, // no gram
		{"", everywhere, 0},
		{"no such words", 0, 10},
		{"0123456789abcdef", 0, 10},
		{"request/zebra zulu", 0, 10}, // grams of several values, but of no single one
	}
	b, info := requestIDs(t, n, false, value)
	g := openGroup(t, b, info)
	if g.PartRows() != 320 {
		t.Fatalf("%d rows are a part, not 320", g.PartRows())
	}
	for range 2 { // the whole filter is read, then slots of it
		for _, tt := range tests {
			got, err := g.Parts(event.RequestID, tt.piece)
			if err != nil {
				t.Fatal(err)
			}
			if others := setBits([]uint64{got &^ tt.want}); got&tt.want != tt.want || others > tt.most {
				t.Errorf("%q: parts %064b, want %064b and at most %d others", tt.piece, got, tt.want, tt.most)
			}
		}
	}
}

// TestPartsOfDictionary: a dictionary says no or says nothing.
func TestPartsOfDictionary(t *testing.T) {
	b, info := requestIDs(t, 20_000, true, func(i int) string { return fmt.Sprintf("request-%010d", i%5000*7919) })
	g := openGroup(t, b, info)
	if d, err := g.Dict(event.RequestID); d == nil || err != nil {
		t.Fatal("the column is not coded:", err)
	}
	for piece, want := range map[string]uint64{"request-0000007919": ^uint64(0), "REQUEST": ^uint64(0), "no such words": 0} {
		if got, err := g.Parts(event.RequestID, piece); got != want || err != nil {
			t.Errorf("%q: parts %x, %v; want %x", piece, got, err, want)
		}
	}
}

// TestNoGramFilter: where a filter would be of no use or could be wrong, there is
// none, and anything may be anywhere.
func TestNoGramFilter(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	tests := map[string]func(i int) string{
		"little text":              func(i int) string { return "r" + strconv.Itoa(i%10) },
		"the Kelvin sign, once":    func(i int) string { return strings.Replace(fmt.Sprintf("request-%010d", i), "0000004242", "\u212a", 1) },
		"the long s, once":         func(i int) string { return strings.Replace(fmt.Sprintf("request-%010d", i), "0000004242", "\u017f", 1) },
		"every gram in every part": func(int) string { return randomText(random, 2000) },
	}
	for name, value := range tests {
		t.Run(name, func(t *testing.T) {
			b, info := requestIDs(t, 5000, false, value)
			g := openGroup(t, b, info)
			if size := g.chunks[event.RequestID].grams.size; size != 0 {
				t.Errorf("a filter of %d bytes", size)
			}
			if got, err := g.Parts(event.RequestID, "no such words"); got != ^uint64(0) || err != nil {
				t.Errorf("parts %x, %v", got, err)
			}
		})
	}
}

// TestGramsOfLargeDictionary: the values of a dictionary that is too large to be
// written are not the rows that a filter would be asked about.
func TestGramsOfLargeDictionary(t *testing.T) {
	const n = 4000
	long := strings.Repeat("x", maxDict/n+10)
	value := func(i int) string { return fmt.Sprintf("%s request-%04d", long, (i+n/2)%n) }
	b, info := requestIDs(t, 2*n, true, func(i int) string { return value(min(i, n)) })
	g := openGroup(t, b, info)
	if d, err := g.Dict(event.RequestID); d != nil || err != nil {
		t.Fatal("the column is coded:", err)
	}
	for row := range n {
		if parts, err := g.Parts(event.RequestID, value(row)[len(long):]); err != nil || parts>>(row/g.PartRows())&1 == 0 {
			t.Fatalf("row %d: parts %x, %v", row, parts, err)
		}
	}
}

// randomText returns n letters and digits.
func randomText(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"[r.IntN(62)]
	}
	return string(b)
}

// TestGramsAreFound: no filter denies what a value contains, whatever the values
// are and however many slots are left of it.
func TestGramsAreFound(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	sizes := map[int64]bool{}
	for round := range 60 {
		letters := "abcdefgXYZ0189-/é \x00"
		letters = letters[:2+r.IntN(len(letters)-2)/(1+round%4)]
		values := make([]string, 2000+r.IntN(9000))
		for i := range values {
			v := make([]byte, r.IntN(40))
			for j := range v {
				v[j] = letters[r.IntN(len(letters))]
			}
			values[i] = strings.ToValidUTF8(string(v), "_")
		}
		b, info := requestIDs(t, len(values), false, func(i int) string { return values[i] })
		g := openGroup(t, b, info)
		sizes[g.chunks[event.RequestID].grams.size] = true
		for range 500 {
			row := r.IntN(len(values))
			v := values[row]
			from := r.IntN(len(v) + 1)
			piece := v[from : from+r.IntN(len(v)-from+1)]
			if r.IntN(2) == 0 {
				piece = strings.ToUpper(piece)
			}
			parts, err := g.Parts(event.RequestID, piece)
			if err != nil || parts>>(row/g.PartRows())&1 == 0 {
				t.Fatalf("round %d: %q of row %d, %q: parts %x, %v", round, piece, row, v, parts, err)
			}
		}
	}
	if len(sizes) < 4 {
		t.Errorf("filters of %v bytes only", sizes)
	}
}

// TestGramFilterDamage: a flipped bit is an error, and so are a filter and a place
// of it that were never written, whatever their checksums say.
func TestGramFilterDamage(t *testing.T) {
	whole, info := requestIDs(t, 10_000, false, func(i int) string { return fmt.Sprintf("request-%010d", i) })
	grams := openGroup(t, whole, info).chunks[event.RequestID].grams
	t.Run("a bit", func(t *testing.T) {
		b := bytes.Clone(whole)
		b[grams.off+grams.size/2] ^= 4
		f, err := Open("x", bytes.NewReader(b), info, nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := f.RowGroups()[0].Parts(event.RequestID, "request-"); !errors.As(err, new(*DamageError)) {
				t.Errorf("Parts: %v", err)
			}
		}
		if err := f.Verify(t.Context()); !errors.As(err, new(*DamageError)) {
			t.Errorf("Verify: %v", err)
		}
	})
	t.Run("a gram too few", func(t *testing.T) {
		f, err := Open("x", bytes.NewReader(whole), info, nil)
		if err != nil {
			t.Fatal(err)
		}
		b := bytes.Clone(whole)
		filter := b[grams.off:grams.end()]
		for at := range len(filter) / 8 {
			clear(filter[8*at : 8*at+8])
			if !bytes.Equal(b, whole) {
				break
			}
		}
		f.r = bytes.NewReader(b)
		f.groups[0].chunks[event.RequestID].grams.crc = crc32.Checksum(filter, castagnoli)
		if err := f.Verify(t.Context()); err == nil || !strings.Contains(err.Error(), "gram filter of column request_id lacks a gram") {
			t.Errorf("Verify: %v", err)
		}
	})
	for _, place := range []string{"", "1", "4 512", "4 512 ", "4 512 1 1", "4 0 1", "4 511 1", "4 768 1", "4 524288 1", "4 512 4294967296", "4  512 1", "04 512 1"} {
		if s, err := parseGrams(place); err == nil {
			t.Errorf("place %q is taken as %+v", place, s)
		}
	}
}

// BenchmarkGrams measures the gram filter of 256Ki values of 16 hexadecimal
// digits: what it costs to make it and to ask it.
func BenchmarkGrams(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	value := func(int) string { return fmt.Sprintf("%016x", r.Uint64()) }
	b.Run("make", func(b *testing.B) {
		var values column.Strings
		for i := range MaxRows {
			values.Append(value(i))
		}
		var g gramBuilder
		filter := g.of(nil, &values)
		b.ReportAllocs()
		for b.Loop() {
			filter = g.of(filter, &values)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/MaxRows, "ns/row")
		b.ReportMetric(float64(len(filter))/MaxRows, "bytes/row")
	})
	b.Run("ask", func(b *testing.B) {
		file, info := requestIDs(b, MaxRows, false, value)
		g := openGroup(b, file, info)
		b.ReportAllocs()
		found := 0
		for b.Loop() {
			parts, err := g.Parts(event.RequestID, value(0))
			if err != nil {
				b.Fatal(err)
			}
			found += setBits([]uint64{parts})
		}
		b.ReportMetric(float64(found)/float64(b.N), "parts-of-64")
	})
}
