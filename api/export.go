package api

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/daybook-log/daybook/audit"
	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/problem"
	"github.com/daybook-log/daybook/query"
	"github.com/daybook-log/daybook/store"
)

// countTrailer carries the number of events of an export. It follows the body of
// a complete one.
const countTrailer = "Daybook-Events"

// format is a form in which events are exported.
type format struct {
	name       string // of the parameter, and the file's suffix
	mediaType  string
	compressed bool // in itself: gzip would gain nothing
	encoder    func(w io.Writer, fields event.FieldSet) encoder
}

// encoder writes events. Nothing that it wrote is whole before finish.
type encoder interface {
	add(e *event.Event) error
	finish() error
}

var formats = []format{
	{"ndjson", typeNDJSON, false, newNDJSON},
	{"csv", typeCSV + "; charset=utf-8; header=present", false, newCSV},
	{"parquet", typeParquet, true, newParquet},
}

// export answers GET /v1/export.
func (a *API) export(w http.ResponseWriter, r *http.Request) {
	v, p, err := a.asked(r)
	if err != nil {
		a.fail(w, r, err)
		return
	}
	f, x := exportParams(p, v, r)
	if err := p.Err(); err != nil {
		a.fail(w, r, err)
		return
	}
	if err := needChunks(r); err != nil {
		a.fail(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", f.mediaType)
	h.Set("Content-Disposition", `attachment; filename="daybook-`+x.Now.UTC().Format("20060102T150405Z")+"."+f.name+`"`)
	h.Set("Vary", "Accept, Accept-Encoding")
	h.Set("Trailer", countTrailer)
	out := a.newAnswer(w, r)
	defer out.release()
	var to io.Writer = out
	var zip *gzip.Writer
	if !f.compressed && acceptsGzip(r) {
		h.Set("Content-Encoding", "gzip")
		zip, err = gzip.NewWriterLevel(out, gzip.BestSpeed)
		if err != nil {
			out.fail(r, err)
			return
		}
		to = zip
	}
	if r.Method == http.MethodHead {
		return
	}
	events, err := a.copyExport(r, v, x, f, f.encoder(to, x.Fields))
	if err == nil && zip != nil {
		err = zip.Close()
	}
	if err != nil {
		out.fail(r, err)
		return
	}
	out.finish()
	h.Set(countTrailer, strconv.FormatInt(events, 10))
}

// exportParams reads the parameters of an export: those of a search without its
// pages, format, and order, which is oldest first where nothing else is said:
// files are read from their beginning.
func exportParams(p *query.Params, v *query.View, r *http.Request) (format, *query.Export) {
	names, types := make([]string, len(formats)), make([]string, len(formats))
	for i, f := range formats {
		names[i] = f.name
		types[i], _, _ = strings.Cut(f.mediaType, ";")
	}
	chosen := formats[0]
	wanted := negotiate(r, types...)
	name := p.Choice("format", names...)
	_, named := p.Text("format")
	for i, f := range formats {
		if (named && f.name == name) || (!named && types[i] == wanted) {
			chosen = f
			break
		}
	}
	x := &query.Export{Criteria: p.Criteria(time.Now()), Order: store.OldestFirst, Fields: fieldsOf(p, v)}
	if order := p.Choice("order", "oldest", "newest"); order == "newest" {
		x.Order = store.NewestFirst
		if chosen.name == "parquet" {
			p.Fail("order", order, "a Parquet export is written oldest first; leave order out, or take another format")
		}
	}
	return chosen, x
}

// copyExport encodes what the export finds and returns how many events that was.
// That it begins, and how it ended, is recorded.
func (a *API) copyExport(r *http.Request, v *query.View, x *query.Export, f format, enc encoder) (events int64, err error) {
	g := GrantOf(r.Context())
	if tenant := g.Scope.Tenant; tenant != "" {
		if !a.exports.Enter(tenant) {
			return 0, tenantExports
		}
		defer a.exports.Leave(tenant)
	}
	ctx, stop := lasting(r)
	defer stop()
	entry := audit.Entry{Action: "export.begin", Operation: "read", Resource: "export/" + f.name, Metadata: searched(r, x.Filter)}
	a.soon(r, g, entry)
	defer func() {
		entry.Action, entry.Metadata = "export.end", maps.Clone(entry.Metadata)
		entry.Metadata["events"] = events
		if err != nil || r.Context().Err() != nil {
			entry.Outcome = "failure"
		}
		a.soon(r, g, entry)
	}()
	var encodeErr error
	err = v.Export(ctx, x, func(e *event.Event) bool {
		if encodeErr = ctx.Err(); encodeErr != nil { // a slow client would get the store's next rows, too
			return false
		}
		events++
		if !x.Fields.Has(event.Offset) { // a form that has all columns has nothing in them
			e.Partition, e.Offset = 0, 0
		}
		encodeErr = enc.add(e)
		return encodeErr == nil
	})
	switch {
	case errors.Is(context.Cause(ctx), errEnded):
		return events, errEnded
	case encodeErr != nil:
		return events, encodeErr
	case err != nil:
		return events, err
	}
	return events, enc.finish()
}

var tenantExports = problem.Problem{Type: "too-many-exports", Status: http.StatusTooManyRequests, Title: "Too many exports of this tenant", RetryAfter: 5 * time.Second,
	Detail: "as many exports as a tenant may have are running (setting limits.exports_per_tenant); ask again after one has ended"}

// lines writes an event at a time, gathering small writes.
type lines struct {
	w      io.Writer
	fields event.FieldSet
	buf    []byte
	line   func(dst []byte, e *event.Event, fields event.FieldSet) []byte
}

func (l *lines) add(e *event.Event) error {
	l.buf = l.line(l.buf, e, l.fields)
	if len(l.buf) < sendSize/2 {
		return nil
	}
	return l.finish()
}

func (l *lines) finish() error {
	_, err := l.w.Write(l.buf)
	l.buf = l.buf[:0]
	return err
}

func newNDJSON(w io.Writer, fields event.FieldSet) encoder {
	return &lines{w: w, fields: fields, line: func(dst []byte, e *event.Event, fields event.FieldSet) []byte {
		return append(event.AppendJSON(dst, e, fields), '\n')
	}}
}
