package kafka

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/daybook-log/daybook/ingest"
)

// tape is a connection on which everything has been sent already.
type tape struct {
	io.Reader
	answers bytes.Buffer
}

func (c *tape) Write(b []byte) (int, error)      { return c.answers.Write(b) }
func (c *tape) Close() error                     { return nil }
func (c *tape) LocalAddr() net.Addr              { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 9092} }
func (c *tape) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 50000} }
func (c *tape) SetDeadline(time.Time) error      { return nil }
func (c *tape) SetReadDeadline(time.Time) error  { return nil }
func (c *tape) SetWriteDeadline(time.Time) error { return nil }

// Whatever a client sends, the connection ends with whole answers, in order,
// and holds nothing after.
func FuzzRequests(f *testing.F) {
	seed := func(requests ...kmsg.Request) {
		var b []byte
		for i, q := range requests {
			b = kmsg.NewRequestFormatter(kmsg.FormatterClientID("fuzz")).AppendRequest(b, q, int32(i))
		}
		f.Add(b)
	}
	name := DefaultTopic
	seed(&kmsg.ApiVersionsRequest{Version: 3}, &kmsg.MetadataRequest{Version: 12, Topics: []kmsg.MetadataRequestTopic{{Topic: &name}}})
	seed(&kmsg.InitProducerIDRequest{Version: 4}, produceOf(-1, numbered(7, 0, 0, eventOf("a"))), produceOf(-1, numbered(7, 0, 1, eventOf("b"), "{}")), produceOf(0, numbered(7, 0, 0, eventOf("a"))))
	old := produceOf(1, batchOf(eventOf("a")))
	old.Version = 3
	seed(old, &kmsg.FindCoordinatorRequest{Version: 4, CoordinatorKeys: []string{"g"}}, &kmsg.CreateTopicsRequest{Version: 7, Topics: []kmsg.CreateTopicsRequestTopic{{Topic: "t"}}})
	seed(&kmsg.SASLHandshakeRequest{Version: 1, Mechanism: "PLAIN"}, &kmsg.SASLAuthenticateRequest{Version: 2, SASLAuthBytes: []byte("\x00a\x00b")})
	seed(&kmsg.FetchRequest{Version: 11}, &kmsg.ListOffsetsRequest{Version: 6}, &kmsg.OffsetFetchRequest{Version: 8}, &kmsg.JoinGroupRequest{Version: 5})
	var nowhere sink
	s, err := Open(f.Context(), Options{
		Listen: "127.0.0.1:0", MaxUnpacked: 1 << 17,
		Publisher: ingest.NewPublisher(ingest.PublisherOptions{Stream: &nowhere, Store: &nowhere}),
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	f.Fuzz(func(t *testing.T, sent []byte) {
		nc := &tape{Reader: bytes.NewReader(sent)}
		newConn(s, nc).serve(t.Context(), t.Context())
		if held := s.metrics.BytesInFlight.Load(); held != 0 {
			t.Errorf("%d bytes are still held", held)
		}
		for _, p := range s.producers.byKey {
			if p.users != 0 || len(p.onTheWay) != 0 || p.taken != p.appended {
				t.Errorf("a producer is still in use: %+v", p)
			}
		}
		for out := nc.answers.Bytes(); len(out) > 0; {
			if len(out) < 8 || int64(binary.BigEndian.Uint32(out)) > int64(len(out)-4) {
				t.Fatalf("%d bytes at the end are no answer", len(out))
			}
			out = out[4+binary.BigEndian.Uint32(out):]
		}
	})
}

// A record batch whose length and checksum are right is read without a panic
// and within the limit, whatever is in it.
func FuzzBatch(f *testing.F) {
	f.Add(batchOf(eventOf("a"), eventOf("b")))
	f.Add(numbered(1, 2, 3, eventOf("a")))
	for _, codec := range []int16{gzipped, snappyBlocks, lz4Frame, zstandard} {
		f.Add(edited(func(b *kmsg.RecordBatch) { b.Attributes, b.Records = codec, pack(f, codec, b.Records) }, eventOf("a"), eventOf("b")))
	}
	f.Add(edited(func(b *kmsg.RecordBatch) { b.Attributes, b.Records = snappyBlocks, xerialOf(f, b.Records) }, eventOf("a")))
	const limit = 1 << 17
	u := &unpacker{limit: limit}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) >= batchHeader {
			data = bytes.Clone(data)
			binary.BigEndian.PutUint32(data[lengthAt:], uint32(len(data)-lengthAt-4))
			binary.BigEndian.PutUint32(data[crcAt:], crc32.Checksum(data[crcFrom:], castagnoli))
		}
		b, refused := openBatch(data, limit/minRecord)
		if refused != nil {
			return
		}
		unpacked, refused := u.unpack(b.Attributes&codecBits, b.Records)
		if refused != nil {
			return
		}
		if len(unpacked) > limit {
			t.Fatalf("%d bytes", len(unpacked))
		}
		rs, left := records{data: unpacked, base: b.FirstTimestamp}, len(unpacked)
		for range b.NumRecords {
			rec, err := rs.next()
			if err != nil {
				return
			}
			if took := left - len(rs.data); took < minRecord || len(rec.value) > took || rec.milli < -1 || rec.milli > maxMilli {
				t.Fatalf("a record of %d bytes at %d takes %d", len(rec.value), rec.milli, took)
			}
			left = len(rs.data)
		}
	})
}
