package ingest

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/daybook-log/daybook/internal/problem"
)

// coding is a Content-Encoding.
type coding uint8

const (
	identity coding = iota
	gzipped
	zstandard
)

const acceptedCodings = "gzip, zstd, identity"

// zstdWindow is the largest window that a zstd frame may ask for. It is what
// the zstd command uses up to level 19.
const zstdWindow = 8 << 20

// contentCoding returns the body's coding, or the problem that answers another one.
func contentCoding(h http.Header) (coding, error) {
	v := strings.Join(h.Values("Content-Encoding"), ",")
	switch strings.ToLower(strings.TrimSpace(v)) {
	case "", "identity":
		return identity, nil
	case "gzip", "x-gzip":
		return gzipped, nil
	case "zstd":
		return zstandard, nil
	}
	return 0, problem.Problem{
		Type: "unsupported-encoding", Status: http.StatusUnsupportedMediaType,
		Detail: fmt.Sprintf("Content-Encoding %q is not accepted; send one of %s", shorten(v), acceptedCodings),
	}
}

const acceptedTypes = "application/json, application/x-ndjson"

// contentType reports whether the body says that it is NDJSON. The form of
// other bodies is told by their first character, so any type that may be JSON
// will do: none, text, and what curl -d sends.
func contentType(h http.Header) (ndjson bool, err error) {
	v := h.Get("Content-Type")
	switch v { // what programs send, without the cost of parsing it
	case "", "application/json":
		return false, nil
	case "application/x-ndjson":
		return true, nil
	}
	mediaType, _, _ := mime.ParseMediaType(v)
	switch mediaType {
	case "application/json", "text/json", "text/plain", "application/octet-stream", "application/x-www-form-urlencoded":
		return false, nil
	case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonl",
		"application/jsonlines", "application/x-jsonlines", "application/json-lines":
		return true, nil
	}
	return false, problem.Problem{
		Type: "unsupported-media-type", Status: http.StatusUnsupportedMediaType,
		Detail: fmt.Sprintf("Content-Type %q is not accepted; send %s", shorten(v), acceptedTypes),
	}
}

// limited reads at most left bytes and then fails with over.
type limited struct {
	r       io.Reader
	left    int64
	over    *problem.Problem
	counter *atomic.Int64
}

func (l *limited) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	l.counter.Add(int64(n))
	if l.left -= int64(n); l.left < 0 {
		return 0, *l.over
	}
	return n, err
}

// patient reads a request's body and fails with os.ErrDeadlineExceeded when
// nothing comes for stall. What is in flight for a body must not wait for
// ever on a publisher that has gone quiet.
type patient struct {
	r     io.Reader
	rc    *http.ResponseController
	stall time.Duration
}

func (p *patient) Read(b []byte) (int, error) {
	// A server that has no deadlines, as in a test, does without.
	if err := p.rc.SetReadDeadline(time.Now().Add(p.stall)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return 0, err
	}
	n, err := p.r.Read(b)
	if err != nil {
		// The body has ended. The connection is still read, to see whether the
		// publisher goes, and running into the deadline would look like that.
		_ = p.rc.SetReadDeadline(time.Time{})
	}
	return n, err
}

// inflater decompresses bodies, one after the other.
type inflater struct {
	br *bufio.Reader
	gz *gzip.Reader
	zd *zstd.Decoder
}

var errEmptyCompressed = errors.New("the body is empty")

// reset returns a reader of the decompressed body r.
func (f *inflater) reset(r io.Reader, c coding) (io.Reader, error) {
	if f.br == nil {
		f.br = bufio.NewReaderSize(r, 64<<10)
	}
	f.br.Reset(r)
	if c == zstandard {
		if f.zd == nil {
			zd, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdWindow))
			if err != nil {
				return nil, err
			}
			f.zd = zd
		}
		return f.zd, f.zd.Reset(f.br)
	}
	if f.gz == nil {
		f.gz = new(gzip.Reader)
	}
	if err := f.gz.Reset(f.br); err == io.EOF {
		return nil, errEmptyCompressed
	} else if err != nil {
		return nil, err
	}
	return f.gz, nil
}

// release lets go of the body.
func (f *inflater) release() {
	f.br.Reset(nil)
	if f.zd != nil {
		// Cannot fail: resetting to nothing only drops what was read.
		_ = f.zd.Reset(nil)
	}
}

// inflaters keeps inflaters between requests: each holds the tables and the
// window of a decompressor.
type inflaters struct{ pool sync.Pool }

func (p *inflaters) get() *inflater {
	if f, ok := p.pool.Get().(*inflater); ok {
		return f
	}
	return new(inflater)
}

func (p *inflaters) put(f *inflater) {
	f.release()
	p.pool.Put(f)
}

// readProblem says in a problem what stopped the reading of a body.
func readProblem(err error, c coding) problem.Problem {
	if p, ok := errors.AsType[problem.Problem](err); ok {
		return p
	}
	p := problem.Problem{Type: "malformed-body", Status: http.StatusBadRequest}
	if m, ok := errors.AsType[malformed](err); ok {
		p.Detail = string(m)
		return p
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return problem.Problem{Type: "body-timeout", Status: http.StatusRequestTimeout, Detail: "the rest of the body did not come in time"}
	}
	name := map[coding]string{gzipped: "gzip", zstandard: "zstd"}[c]
	switch {
	case errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
		p.Detail = fmt.Sprintf("the body's zstd window is larger than the %d MiB that are accepted; compress at level 19 or lower without --long", zstdWindow>>20)
	case c != identity && errors.Is(err, io.ErrUnexpectedEOF):
		p.Detail = "the body's " + name + " stream breaks off before its end"
	case c != identity:
		p.Detail = "the body is not valid " + name + ": " + err.Error()
	default:
		p.Detail = "the body could not be read to its end: " + err.Error()
	}
	return p
}

// shorten returns at most 64 bytes of s, for an error message.
func shorten(s string) string {
	if len(s) > 64 {
		return s[:64] + "…"
	}
	return s
}
