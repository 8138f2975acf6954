package query

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
	"github.com/daybook-log/daybook/store"
)

// cursor is where a page of a search ended and what the next must know to go on
// as if the first page had not stopped. It is handed out as base64url without
// padding of:
//
//	offset  size  field
//	0       1     version, 2
//	1       1     order: 0 newest first, 1 oldest first
//	2       8     identity of the log
//	10      8     fingerprint of filter and range
//	18      8     now: what relative times of the filter count from, ns, big-endian
//	26      8     timestamp of the last event, ns, big-endian
//	34      var   partition of the last event, uvarint
//	        var   offset of the last event, uvarint
//	        var   number of partitions of the snapshot, uvarint
//	        var   position in each, uvarint
//	        4     CRC-32C of everything before, big-endian
//
// Version 1, which is still read, had no identity of the log.
//
// The checksum tells a mangled cursor from a forged one and no more: a cursor
// grants nothing that the filter it comes with does not.
type cursor struct {
	text        string // as it came; "" for one that was made here
	order       store.Order
	log         event.LogID // zero: it came in version 1
	fingerprint [8]byte
	now         int64
	last        store.Key
	until       event.Positions
}

const (
	cursorVersion = 2
	cursorFixed   = 34       // bytes before the first uvarint
	maxCursor     = 64 << 10 // length of the text, far above any that is handed out
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// fingerprint stands for what a cursor must be used with: the filter, with its
// relative times resolved, and the range. What a reader may see needs no place in
// it: cursors of who does not see everything are sealed for their scope, see veil.
func fingerprint(x filter.Expr, r store.Range) [8]byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(r.From))
	b = binary.BigEndian.AppendUint64(b, uint64(r.To))
	b = append(b, x.String()...)
	sum := sha256.Sum256(b)
	return [8]byte(sum[:])
}

// encode returns the text of c.
func (c *cursor) encode() string {
	b := append(make([]byte, 0, 64), cursorVersion, byte(c.order))
	b = append(b, c.log[:]...)
	b = append(b, c.fingerprint[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(c.now))
	b = binary.BigEndian.AppendUint64(b, uint64(c.last.Timestamp))
	b = binary.AppendUvarint(b, uint64(c.last.Position.Partition))
	b = binary.AppendUvarint(b, uint64(c.last.Position.Offset))
	b = binary.AppendUvarint(b, uint64(len(c.until)))
	for _, offset := range c.until {
		b = binary.AppendUvarint(b, uint64(offset))
	}
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return base64.RawURLEncoding.EncodeToString(b)
}

var (
	errCursorMangled = errors.New("is not a cursor, or was changed on its way; pass next_cursor on as it came, or leave cursor out to start again")
	errCursorOrder   = errors.New("comes from a search in another order; give the same order, or leave cursor out to start again")
	errCursorQuery   = errors.New("comes from another search; a cursor goes with the same q, from, to and field parameters as the page that gave it, so leave it out to start a new search")
)

// decodeCursor reads what encode wrote and refuses everything else.
func decodeCursor(text string) (*cursor, error) {
	if len(text) > maxCursor || strings.ContainsAny(text, "\r\n") { // the decoder passes over these
		return nil, errCursorMangled
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < 2+4 {
		return nil, errCursorMangled
	}
	body, sum := b[:len(b)-4], binary.BigEndian.Uint32(b[len(b)-4:])
	if crc32.Checksum(body, castagnoli) != sum {
		return nil, errCursorMangled
	}
	switch body[0] {
	case 1:
		body = slices.Concat(body[:2], make([]byte, len(event.LogID{})), body[2:])
	case cursorVersion:
	default:
		return nil, fmt.Errorf("has format %d, this server reads formats 1 to %d; leave it out to start again", body[0], cursorVersion)
	}
	if len(body) < cursorFixed {
		return nil, errCursorMangled
	}
	c := &cursor{
		text:  text,
		order: store.Order(body[1]),
		log:   event.LogID(body[2:10]),
		now:   int64(binary.BigEndian.Uint64(body[18:])),
	}
	copy(c.fingerprint[:], body[10:])
	c.last.Timestamp = int64(binary.BigEndian.Uint64(body[26:]))
	d := uvarints{rest: body[cursorFixed:]}
	c.last.Position.Partition = int32(d.next(maxPartitions - 1))
	c.last.Position.Offset = int64(d.next(1<<63 - 1))
	c.until = make(event.Positions, d.next(min(maxPartitions, uint64(len(d.rest)))))
	for p := range c.until {
		c.until[p] = int64(d.next(1<<63 - 1))
	}
	if d.bad || len(d.rest) > 0 || c.order > store.OldestFirst {
		return nil, errCursorMangled
	}
	return c, nil
}

// uvarints reads integers; the first that is cut short, not written in the
// shortest way or above its bound makes it bad.
type uvarints struct {
	rest []byte
	bad  bool
}

func (d *uvarints) next(most uint64) uint64 {
	v, n := binary.Uvarint(d.rest)
	if d.bad || n <= 0 || v > most || (n > 1 && d.rest[n-1] == 0) {
		d.bad = true
		return 0
	}
	d.rest = d.rest[n:]
	return v
}
