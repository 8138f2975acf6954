package query

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
	"github.com/daybook-log/daybook/store"
)

func testCursors() []*cursor {
	return []*cursor{
		{},
		{order: store.OldestFirst, now: 1, last: store.Key{Timestamp: -1, Position: event.Position{Partition: 3, Offset: 1<<63 - 1}}, until: event.Positions{7}},
		{fingerprint: fingerprint(filter.And{}, store.AllTime), now: 1<<63 - 1, until: event.Positions{0, 1 << 40, 0, 5}},
	}
}

// The format is a promise to whoever holds a cursor while the server is upgraded.
func TestCursorGolden(t *testing.T) {
	c := cursor{
		order: store.OldestFirst, fingerprint: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}, now: 0x1122334455667788,
		last:  store.Key{Timestamp: 0x0102030405060708, Position: event.Position{Partition: 2, Offset: 300}},
		until: event.Positions{301, 1},
	}
	b, err := base64.RawURLEncoding.DecodeString(c.encode())
	if err != nil {
		t.Fatal(err)
	}
	want := []byte("\x01\x01\x01\x02\x03\x04\x05\x06\x07\x08\x11\x22\x33\x44\x55\x66\x77\x88\x01\x02\x03\x04\x05\x06\x07\x08\x02\xac\x02\x02\xad\x02\x01")
	if !bytes.Equal(b[:len(b)-4], want) {
		t.Errorf("got  %x\nwant %x", b[:len(b)-4], want)
	}
}

func TestCursorRoundTrip(t *testing.T) {
	for _, c := range testCursors() {
		got, err := decodeCursor(c.encode())
		if err != nil {
			t.Fatal(err)
		}
		if got.encode() != c.encode() {
			t.Errorf("%+v came back as %+v", c, got)
		}
	}
}

// Any bytes are either refused or the one way to write what they say.
func FuzzCursor(f *testing.F) {
	for _, c := range testCursors() {
		f.Add(c.encode(), true)
		b, err := base64.RawURLEncoding.DecodeString(c.encode())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(b[:len(b)-4]), false)
	}
	f.Add("", true)
	f.Add("AQ==", true)
	f.Fuzz(func(t *testing.T, text string, whole bool) {
		if !whole { // a body to which the right checksum is added, to get past it
			text = sign(text)
		}
		c, err := decodeCursor(text)
		if err != nil {
			return
		}
		if c.encode() != text {
			t.Errorf("%q says %+v, which is written %q", text, c, c.encode())
		}
	})
}

func sign(body string) string {
	b := []byte(body)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return base64.RawURLEncoding.EncodeToString(b)
}
