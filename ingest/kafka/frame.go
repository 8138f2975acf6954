package kafka

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A request is a length and so many bytes, which begin with what it is:
//
//	4  length of what follows
//	2  API key
//	2  version
//	4  correlation id, which the answer repeats
//	   client id: int16 length, -1 for none, and text
//	   tagged fields, if the version is a flexible one
//	   the request
//
// Only a request to publish is large. Others are decoded whole, into several
// times their size, so they may be maxPlain bytes long.
const (
	prefixSize = 12
	maxPlain   = 64 << 10
)

// firstStep is how much memory is made ready at once for a large request. What
// is beyond is made ready as the request arrives, so that announcing one takes
// nothing.
const firstStep = 1 << 20

// header is what a request begins with.
type header struct {
	key, version int16
	correlation  int32
	size         int // of the request after the prefix
}

// malformed says that a client does not speak the protocol; its connection is
// closed, because where the next request begins is not known or not to be
// trusted.
type malformed string

func (m malformed) Error() string { return string(m) }

var errNotAuthenticated = errors.New("a large request came before the client had logged in")

// readPrefix reads the beginning of the next request.
func (c *conn) readPrefix() (h header, err error) {
	var b [prefixSize]byte
	c.setReadDeadline(c.patience())
	if _, err := io.ReadFull(c.r, b[:4]); err != nil {
		return h, err
	}
	size := int64(binary.BigEndian.Uint32(b[:]))
	if size > int64(c.s.opts.MaxRequest) || size < prefixSize-4 {
		return h, malformed(describeSize(b[:4], size, c.s.opts.MaxRequest))
	}
	c.setReadDeadline(c.s.opts.Stall)
	if _, err := io.ReadFull(c.r, b[4:]); err != nil {
		return h, noEOF(err)
	}
	h = header{
		key:         int16(binary.BigEndian.Uint16(b[4:])),
		version:     int16(binary.BigEndian.Uint16(b[6:])),
		correlation: int32(binary.BigEndian.Uint32(b[8:])),
		size:        int(size) - (prefixSize - 4),
	}
	if h.size > maxPlain {
		switch {
		case h.key != produceKey:
			return h, malformed(fmt.Sprintf("a request of API key %d is %d bytes long; at most %d are read", h.key, size, maxPlain))
		case c.principal == nil:
			return h, errNotAuthenticated
		}
	}
	return h, nil
}

// describeSize says what a length that is none may be instead.
func describeSize(prefix []byte, size int64, limit int) string {
	switch string(prefix) {
	case "GET ", "POST", "PUT ", "HEAD", "OPTI", "PATC", "DELE", "PRI ":
		return "the client speaks HTTP; Kafka's protocol is spoken here"
	}
	if prefix[0] == 0x16 && prefix[1] == 3 {
		return "the client speaks TLS; connections here are not encrypted"
	}
	return fmt.Sprintf("a request says that it is %d bytes long; %d to %d are read", size, prefixSize-4, limit)
}

// readBody reads the rest of a request. It is valid until the next one; the
// caller calls done when it is no longer used.
func (c *conn) readBody(ctx context.Context, h header) (body []byte, done func(), err error) {
	if h.size <= maxPlain {
		if len(c.small) < h.size {
			c.small = make([]byte, max(h.size, min(2*len(c.small), maxPlain)))
		}
		_, err := io.ReadFull(c.r, c.small[:h.size])
		return c.small[:h.size], func() {}, noEOF(err)
	}
	buf := c.s.buffers.Get().(*[]byte)
	var room room
	done = func() {
		c.s.leaveRoom(&room)
		if cap(*buf) <= 2*firstStep {
			c.s.buffers.Put(buf)
		}
	}
	for have, step := 0, maxPlain; have < h.size; step = max(firstStep, 2*step) {
		want := min(h.size, step)
		if err := c.s.makeRoom(ctx, &room, int64(want-have)); err != nil {
			done()
			return nil, nil, err
		}
		if cap(*buf) < want {
			grown := make([]byte, want)
			copy(grown, (*buf)[:have])
			*buf = grown
		}
		*buf = (*buf)[:want]
		c.setReadDeadline(c.s.opts.Stall)
		if _, err := io.ReadFull(c.r, (*buf)[have:]); err != nil {
			done()
			return nil, nil, noEOF(err)
		}
		have = want
	}
	return *buf, done, nil
}

// room is what a large request holds of the memory for requests.
type room struct {
	held  int64 // of Server.reading
	extra bool  // Server.extra
	bytes int64
}

// makeRoom makes room for n more bytes of a request. When there is none left,
// one request at a time may take more than there is: all the others wait with
// what they have, for this one to be finished, and none for another that waits.
func (s *Server) makeRoom(ctx context.Context, r *room, n int64) error {
	if !r.extra {
		if s.reading.TryAcquire(n) {
			r.held += n
		} else if err := s.extra.Acquire(ctx, 1); err != nil {
			return err
		} else {
			r.extra = true
		}
	}
	r.bytes += n
	s.metrics.BytesInFlight.Add(n)
	return nil
}

func (s *Server) leaveRoom(r *room) {
	s.reading.Release(r.held)
	if r.extra {
		s.extra.Release(1)
	}
	s.metrics.BytesInFlight.Add(-r.bytes)
}

// noEOF makes the end of a connection inside a request an error of its own.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// patience is how long the next request may take to begin.
func (c *conn) patience() time.Duration {
	if c.principal == nil || c.requests == 0 {
		return c.s.opts.Stall
	}
	return c.s.opts.Idle
}

// content returns what follows the header's variable part, which is not used.
func content(body []byte, flexible bool) ([]byte, error) {
	r := kbin.Reader{Src: body}
	if n := r.Int16(); n > 0 {
		r.Span(int(n))
	}
	if flexible {
		kmsg.SkipTags(&r)
	}
	if err := r.Complete(); err != nil {
		return nil, malformed("a request ends inside its header")
	}
	return r.Src, nil
}

// appendAnswer appends an answer as it goes over the connection.
func appendAnswer(dst []byte, correlation int32, r kmsg.Response) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(correlation))
	if r.IsFlexible() && r.Key() != apiVersionsKey { // whose answer is read before its version is known
		dst = append(dst, 0) // no tagged fields
	}
	dst = r.AppendTo(dst)
	binary.BigEndian.PutUint32(dst[start:], uint32(len(dst)-start-4))
	return dst
}
