package parquet

import (
	"encoding/binary"
	"hash/crc32"
	"math"
	"math/bits"
	"strconv"

	"github.com/parquet-go/parquet-go/bloom"
	"github.com/parquet-go/parquet-go/bloom/xxhash"
	"github.com/parquet-go/parquet-go/format"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/store/column"
)

const (
	// bloomBits is the size of a bloom filter per distinct value. Ten bits of a
	// split-block filter say yes wrongly for about one value in a hundred.
	bloomBits = 10

	// bloomCRC is the key, in the metadata of a column chunk, of the CRC32C of
	// its bloom filter's header and bits, in decimal: Parquet has no place for
	// it, and a bit lost there would hide events.
	bloomCRC = "daybook.bloom_crc32c"
)

// bloomBuilder makes bloom filters, reusing its memory.
type bloomBuilder struct {
	hashes []uint64
	seen   []uint64 // a bit per bucket of hashes
}

// ofIDs returns the filter of identities, in filter's memory if that suffices.
func (b *bloomBuilder) ofIDs(filter bloom.SplitBlockFilter, ids []event.ID) bloom.SplitBlockFilter {
	b.hashes = b.hashes[:0]
	for i := range ids {
		b.hashes = append(b.hashes, xxhash.Sum64(ids[i][:]))
	}
	return b.build(filter)
}

// ofStrings returns the filter of a dictionary's strings or of all rows' values.
func (b *bloomBuilder) ofStrings(filter bloom.SplitBlockFilter, values *column.Strings) bloom.SplitBlockFilter {
	b.hashes = b.hashes[:0]
	for i := range values.Len() {
		if v := values.At(i); v != "" {
			b.hashes = append(b.hashes, xxhash.Sum64(bytesOf(v)))
		}
	}
	return b.build(filter)
}

func (b *bloomBuilder) build(filter bloom.SplitBlockFilter) bloom.SplitBlockFilter {
	filter = resize(filter, bloom.NumSplitBlocksOf(int64(b.distinct()), bloomBits))
	filter.Reset()
	filter.InsertBulk(b.hashes)
	return filter
}

// distinct estimates how many of the hashes are different, by linear counting:
// of m buckets, d values leave about m·exp(-d/m) empty. With as many buckets as
// there can be values the estimate is right to about a part in a hundred.
func (b *bloomBuilder) distinct() int {
	m := max(64, 1<<bits.Len(uint(len(b.hashes)-1)))
	b.seen = resize(b.seen, m/64)
	clear(b.seen)
	for _, h := range b.hashes {
		i := h & uint64(m-1)
		b.seen[i>>6] |= 1 << (i & 63)
	}
	empty := 0
	for _, word := range b.seen {
		empty += bits.OnesCount64(^word)
	}
	estimate := float64(m) * math.Log(float64(m)/float64(max(empty, 1)))
	return min(len(b.hashes), int(1.02*estimate)+16)
}

// writeBlooms writes the bloom filters of the columns of a row group, after it.
// Columns that have no value have none.
func (w *Writer) writeBlooms(columns []format.ColumnChunk) {
	for f := range w.blooms {
		if len(w.blooms[f]) > 0 {
			w.writeBloom(w.blooms[f].Bytes(), &columns[f].MetaData)
			w.blooms[f] = w.blooms[f][:0]
		}
	}
}

func (w *Writer) writeBloom(filter []byte, md *format.ColumnMetaData) {
	h := w.marshal(bloomHeaderOf(filter))
	md.BloomFilterOffset, md.BloomFilterLength = w.off, int32(len(h)+len(filter))
	crc := crc32.Update(crc32.Checksum(h, castagnoli), castagnoli, filter)
	md.KeyValueMetadata = []format.KeyValue{{Key: bloomCRC, Value: strconv.FormatUint(uint64(crc), 10)}}
	w.write(h)
	w.write(filter)
}

// maxBloomHeader is more than any header of a bloom filter takes.
const maxBloomHeader = 64

// bloomHeader reads the header at the beginning of b, in the one form in which
// it is written, and returns the bytes of the filter and of the header.
func bloomHeader(b []byte) (size int64, head int, err error) {
	// Field 1 is an integer; fields 2 to 4 are unions with an empty struct as
	// their field 1.
	const after = "\x1c\x1c\x00\x00\x1c\x1c\x00\x00\x1c\x1c\x00\x00\x00"
	if len(b) < 2 || b[0] != tI32 {
		return 0, 0, errHeader
	}
	size, k := binary.Varint(b[1:])
	head = 1 + k + len(after)
	if k <= 0 || size <= 0 || size%bloom.BlockSize != 0 || len(b) < head || string(b[1+k:head]) != after {
		return 0, 0, errHeader
	}
	return size, head, nil
}

// bloomHeaderOf returns the header that a filter is written with.
func bloomHeaderOf(filter []byte) *format.BloomFilterHeader {
	return &format.BloomFilterHeader{
		NumBytes:    int32(len(filter)),
		Algorithm:   format.BloomFilterAlgorithm{Value: &format.SplitBlockAlgorithm{}},
		Hash:        format.BloomFilterHash{Value: &format.XxHash{}},
		Compression: format.BloomFilterCompression{Value: &format.BloomFilterUncompressed{}},
	}
}
