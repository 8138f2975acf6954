package kafka

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
)

// pack compresses data.
func pack(t testing.TB, codec int16, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w interface {
		Write([]byte) (int, error)
		Close() error
	}
	switch codec {
	case gzipped:
		w = gzip.NewWriter(&b)
	case snappyBlocks:
		return snappy.Encode(nil, data)
	case lz4Frame:
		w = lz4.NewWriter(&b)
	case zstandard:
		var err error
		if w, err = zstd.NewWriter(&b); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// xerialOf compresses data as Java's library does.
func xerialOf(t testing.TB, data []byte) []byte {
	t.Helper()
	b := []byte(xerial + "\x00\x00\x00\x01\x00\x00\x00\x01")
	for len(data) > 0 {
		n := min(len(data), 32<<10)
		block := snappy.Encode(nil, data[:n])
		b = binary.BigEndian.AppendUint32(b, uint32(len(block)))
		b = append(b, block...)
		data = data[n:]
	}
	return b
}

// Every codec up to the limit, with one unpacker after the other's use.
func TestUnpack(t *testing.T) {
	const limit = 300_000
	data := []byte(strings.Repeat("a day in the life ", limit))
	u := &unpacker{limit: limit}
	for _, n := range []int{0, 1, 70_000, limit, limit + 1, 10 * limit, 5} {
		for codec, packed := range map[int16][][]byte{
			uncompressed: {data[:n]},
			gzipped:      {pack(t, gzipped, data[:n])},
			snappyBlocks: {pack(t, snappyBlocks, data[:n]), xerialOf(t, data[:n])},
			lz4Frame:     {pack(t, lz4Frame, data[:n])},
			zstandard:    {pack(t, zstandard, data[:n])},
		} {
			for _, p := range packed {
				got, refused := u.unpack(codec, p)
				if tooLarge := n > limit; tooLarge != (refused != nil) {
					t.Errorf("codec %d, %d bytes: %v", codec, n, refused)
				} else if refused == nil && !bytes.Equal(got, data[:n]) {
					t.Errorf("codec %d, %d bytes: got %d others", codec, n, len(got))
				}
				if cap(u.buf) > 2*zstdWindow {
					t.Errorf("codec %d, %d bytes: the buffer has grown to %d", codec, n, cap(u.buf))
				}
			}
		}
	}
}
