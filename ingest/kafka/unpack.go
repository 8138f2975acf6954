package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kerr"
)

// Compression codecs of record batches.
const (
	uncompressed = iota
	gzipped
	snappyBlocks
	lz4Frame
	zstandard
)

// unpacker decompresses the records of batches, one after the other, into its
// buffer.
type unpacker struct {
	limit int // bytes
	buf   []byte
	src   bytes.Reader
	gz    *gzip.Reader
	lz    *lz4.Reader
	zd    *zstd.Decoder
}

// keptBuffer is the largest buffer that an unpacker keeps.
const keptBuffer = 4 << 20

var errTooLarge = errors.New("too large")

// unpack returns the records of a batch, decompressed. They are valid until the
// next call.
func (u *unpacker) unpack(codec int16, data []byte) ([]byte, *refusal) {
	var err error
	switch codec {
	case uncompressed:
		if len(data) > u.limit {
			err = errTooLarge
		} else {
			return data, nil
		}
	case gzipped:
		u.src.Reset(data)
		if u.gz == nil {
			u.gz = new(gzip.Reader)
		}
		if err = u.gz.Reset(&u.src); err == nil {
			err = u.drain(u.gz)
		}
	case snappyBlocks:
		err = u.snappy(data)
	case lz4Frame:
		u.src.Reset(data)
		if u.lz == nil {
			u.lz = lz4.NewReader(nil)
		}
		u.lz.Reset(&u.src)
		err = u.drain(u.lz)
	case zstandard:
		err = u.zstd(data)
	}
	u.src.Reset(nil)
	if errors.Is(err, errTooLarge) {
		return nil, refuse(kerr.MessageTooLarge, "the record batch is larger than the %d bytes that are accepted after decompression; send smaller batches", u.limit)
	}
	if err != nil {
		return nil, refuse(kerr.InvalidRecord, "the record batch cannot be decompressed (codec %d): %v", codec, err)
	}
	return u.buf, nil
}

// drain reads r to its end into u.buf.
func (u *unpacker) drain(r io.Reader) error {
	u.buf = u.buf[:0]
	for {
		if len(u.buf) == cap(u.buf) {
			u.buf = slices.Grow(u.buf, max(len(u.buf), 64<<10))
		}
		n, err := r.Read(u.buf[len(u.buf):cap(u.buf)])
		u.buf = u.buf[:len(u.buf)+n]
		switch {
		case len(u.buf) > u.limit:
			return errTooLarge
		case err == io.EOF:
			return nil
		case err != nil:
			return err
		}
	}
}

// zstdWindow is the largest window that a frame may ask for, however little is
// in it: that of every level but the highest three.
const zstdWindow = 8 << 20

// zstd decompresses frames. The decoder refuses what is over the limit, or over
// a window where that is more, before it makes room for it.
func (u *unpacker) zstd(data []byte) (err error) {
	if u.zd == nil {
		u.zd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(uint64(max(u.limit, zstdWindow))))
		if err != nil {
			return err
		}
	}
	u.buf, err = u.zd.DecodeAll(data, u.buf[:0])
	if errors.Is(err, zstd.ErrDecoderSizeExceeded) || errors.Is(err, zstd.ErrWindowSizeExceeded) || len(u.buf) > u.limit {
		return errTooLarge
	}
	return err
}

// xerial is what the snappy streams of Java's library begin with. Two versions
// follow, and then blocks, each after its length.
const (
	xerial       = "\x82SNAPPY\x00"
	xerialHeader = len(xerial) + 8
)

// snappy decompresses one block, or those of Java's library.
func (u *unpacker) snappy(data []byte) error {
	u.buf = u.buf[:0]
	if !bytes.HasPrefix(data, []byte(xerial)) {
		return u.block(data)
	}
	if len(data) < xerialHeader {
		return io.ErrUnexpectedEOF
	}
	for data = data[xerialHeader:]; len(data) > 0; {
		if len(data) < 4 {
			return io.ErrUnexpectedEOF
		}
		n := int64(binary.BigEndian.Uint32(data))
		if data = data[4:]; n > int64(len(data)) {
			return fmt.Errorf("a block says that it is %d bytes long, and %d follow", n, len(data))
		}
		if err := u.block(data[:n]); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// block decompresses one block of snappy behind what is in u.buf.
func (u *unpacker) block(data []byte) error {
	n, err := snappy.DecodedLen(data)
	if err != nil {
		return err
	}
	have := len(u.buf)
	if n > u.limit-have {
		return errTooLarge
	}
	u.buf = slices.Grow(u.buf, n)[:have+n]
	_, err = snappy.Decode(u.buf[have:], data) // which decodes in place, given the room
	return err
}

// release gives the unpacker to whoever needs one next.
func (s *Server) releaseUnpacker(u *unpacker) {
	if cap(u.buf) > keptBuffer {
		u.buf = nil
	}
	s.unpackers.Put(u)
}
