package index

import (
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/daybook-log/daybook/event"
)

// adopt gives an identity and a timestamp to an event that has none. Ingest
// would have given them; this is for a record that another program put into the
// stream. The identity is made from the record's position, so that reading the
// record again gives the same event.
func adopt(e *event.Event) {
	if e.ID.IsZero() {
		e.ID = identify(e.Position(), e.ReceivedAt)
	}
	if e.Timestamp == event.NoTime {
		e.Timestamp = e.ReceivedAt
	}
}

// identify makes a UUIDv8 (RFC 9562) that begins with the millisecond in which
// the record was received, as a UUIDv7 does, so that it sorts by time.
func identify(pos event.Position, receivedAt int64) event.ID {
	var in [20]byte
	binary.BigEndian.PutUint32(in[0:], uint32(pos.Partition))
	binary.BigEndian.PutUint64(in[4:], uint64(pos.Offset))
	binary.BigEndian.PutUint64(in[12:], uint64(receivedAt))
	sum := sha256.Sum256(in[:])
	var id event.ID
	binary.BigEndian.PutUint64(id[:], uint64(time.Unix(0, receivedAt).UnixMilli())<<16)
	copy(id[6:], sum[:])
	id[6] = id[6]&0x0f | 0x80
	id[8] = id[8]&0x3f | 0x80
	return id
}
