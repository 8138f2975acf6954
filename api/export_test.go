package api_test

import (
	"compress/gzip"
	"encoding/csv"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/daybook-log/daybook/event"
)

func TestExportFormats(t *testing.T) {
	s := newServer(t)
	s.mem.Publish(run(0, 3)...)
	tests := []struct{ path, accept, contentType, suffix string }{
		{"/v1/export", "", "application/x-ndjson", ".ndjson"},
		{"/v1/export", "*/*", "application/x-ndjson", ".ndjson"},
		{"/v1/export", "image/png", "application/x-ndjson", ".ndjson"},
		{"/v1/export", "text/csv", "text/csv; charset=utf-8; header=present", ".csv"},
		{"/v1/export", "application/x-ndjson;q=0.5, text/*;q=0.9", "text/csv; charset=utf-8; header=present", ".csv"},
		{"/v1/export?format=csv", "application/x-ndjson", "text/csv; charset=utf-8; header=present", ".csv"},
		{"/v1/export?format=ndjson", "text/csv", "application/x-ndjson", ".ndjson"},
	}
	for _, tt := range tests {
		resp := s.do("GET", tt.path, "Accept", tt.accept)
		read(t, resp)
		if got := resp.Header.Get("Content-Type"); got != tt.contentType {
			t.Errorf("%s accepting %q: %s", tt.path, tt.accept, got)
		}
		if got := resp.Header.Get("Content-Disposition"); !strings.HasPrefix(got, `attachment; filename="daybook-2`) || !strings.HasSuffix(got, tt.suffix+`"`) {
			t.Errorf("%s: %s", tt.path, got)
		}
		if got := resp.Trailer.Get("Daybook-Events"); got != "3" {
			t.Errorf("%s: the trailer says %q events", tt.path, got)
		}
	}
}

func TestExportNDJSON(t *testing.T) {
	s := newServer(t)
	s.mem.Publish(run(0, 3)...)
	if got := s.get("/v1/export?fields=offset"); got != "{\"offset\":0}\n{\"offset\":1}\n{\"offset\":2}\n" {
		t.Errorf("oldest first: %q", got)
	}
	if got := s.get("/v1/export?fields=offset&order=newest&user_id=user-0"); got != "{\"offset\":0}\n" {
		t.Errorf("of one user: %q", got)
	}
	if got := s.get("/v1/export?user_id=nobody"); got != "" {
		t.Errorf("of nothing: %q", got)
	}
}

func TestExportGzip(t *testing.T) {
	s := newServer(t)
	s.mem.Publish(run(0, 1000)...)
	want := s.get("/v1/export", "Accept-Encoding", "identity")
	resp := s.do("GET", "/v1/export", "Accept-Encoding", "br, gzip;q=0.8")
	if resp.Header.Get("Content-Encoding") != "gzip" {
		t.Fatal("not compressed")
	}
	zip, err := gzip.NewReader(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(zip)
	if err != nil || string(got) != want {
		t.Errorf("%v; %d bytes, want %d", err, len(got), len(want))
	}
	for _, not := range []string{"", "identity", "gzip;q=0", "br"} {
		if s.do("GET", "/v1/export", "Accept-Encoding", not).Header.Get("Content-Encoding") != "" {
			t.Errorf("compressed for Accept-Encoding: %q", not)
		}
	}
}

// A cell that a spreadsheet would run is told to be text; every other one comes
// back as it was.
func TestCSVCells(t *testing.T) {
	tests := []struct{ value, cell string }{
		{"plain", "plain"},
		{"two words", "two words"},
		{"a,b", `"a,b"`},
		{`say "hi"`, `"say ""hi"""`},
		{"line\nbreak", "\"line\nbreak\""},
		{"carriage\r\nreturn", "\"carriage\r\nreturn\""},
		{" leading", " leading"},
		{"ünïcödé 日本", "ünïcödé 日本"},
		{`=HYPERLINK("http://evil.example","x")`, `"'=HYPERLINK(""http://evil.example"",""x"")"`},
		{"=1+1", `"'=1+1"`},
		{"+1", `"'+1"`},
		{"-1", `"'-1"`},
		{"-2+3+cmd|' /C calc'!A0", `"'-2+3+cmd|' /C calc'!A0"`},
		{"@SUM(A1)", `"'@SUM(A1)"`},
		{"\t=1+1", "\"'\t=1+1\""},
		{"\r=1+1", "\"'\r=1+1\""},
		{"\n=1+1", "\"'\n=1+1\""},
		{"＝1+1", `"'＝1+1"`},
		{"＠SUM(A1)", `"'＠SUM(A1)"`},
		{"a=1", "a=1"},
		{"'quoted", "'quoted"},
	}
	s := newServer(t)
	var want strings.Builder
	want.WriteString("user_id,offset\r\n")
	for i, tt := range tests {
		e := numbered(i)
		e.UserID = tt.value
		s.mem.Publish(e)
		want.WriteString(tt.cell + "," + string(event.AppendJSON(nil, &event.Event{Offset: int64(i)}, event.Fields(event.Offset)))[len(`{"offset":`):])
		cut := strings.TrimSuffix(want.String(), "}")
		want.Reset()
		want.WriteString(cut + "\r\n")
	}
	got := s.get("/v1/export?format=csv&fields=user_id,offset")
	if got != want.String() {
		t.Errorf("got\n%s\nwant\n%s", got, want.String())
	}
	records, err := csv.NewReader(strings.NewReader(strings.ReplaceAll(got, "\r\n", "\n"))).ReadAll()
	if err != nil || len(records) != len(tests)+1 {
		t.Errorf("another reader: %v, %d records", err, len(records))
	}
}

// A record of one empty cell is no empty line, which readers skip.
func TestCSVKeepsEmptyRecords(t *testing.T) {
	s := newServer(t)
	s.mem.Publish(run(0, 3)...)
	got := s.get("/v1/export?format=csv&fields=reason")
	if records, err := csv.NewReader(strings.NewReader(got)).ReadAll(); err != nil || len(records) != 4 {
		t.Errorf("%d records, want a header and 3; %v; got %q", len(records), err, got)
	}
}

func TestCSVHasEveryField(t *testing.T) {
	s := newServer(t)
	s.mem.Publish(numbered(7))
	records, err := csv.NewReader(strings.NewReader(s.get("/v1/export?format=csv"))).ReadAll()
	if err != nil || len(records) != 2 || len(records[0]) != int(event.NumFields) {
		t.Fatalf("%v, %v", err, records)
	}
	e := numbered(7)
	for f := range event.NumFields {
		if records[0][f] != f.String() {
			t.Errorf("column %d is %s, want %s", f, records[0][f], f)
		}
		if f.IsText() && records[1][f] != e.Text(f) {
			t.Errorf("%s is %s, want %s", f, records[1][f], e.Text(f))
		}
	}
	if records[1][event.Timestamp] != "2026-11-01T00:00:07Z" || records[1][event.ReceivedAt] != "2026-11-01T00:00:07.000000001Z" {
		t.Errorf("times are %s and %s", records[1][event.Timestamp], records[1][event.ReceivedAt])
	}
}

// An export that fails after it began is cut off where everyone can see it.
func TestFailedExportDoesNotLookComplete(t *testing.T) {
	s := newServer(t)
	s.mem.Publish(run(0, 10_000)...)
	s.mem.FailScans(errors.New("the disk is gone"), 9000)
	for _, given := range []string{"format=ndjson", "format=csv"} {
		for _, coding := range []string{"identity", "gzip"} {
			resp := s.do("GET", "/v1/export?"+given, "Accept-Encoding", coding)
			if resp.StatusCode == http.StatusInternalServerError {
				continue // compressed, all of it was still held back
			}
			if n, err := io.Copy(io.Discard, resp.Body); err == nil {
				t.Errorf("%s %s: %d bytes that look whole", given, coding, n)
			}
		}
	}
}

// Over HTTP/1.0 lines that were cut off could not be told from all of them.
func TestLinesNeedChunks(t *testing.T) {
	s := newServer(t)
	for request, status := range map[string]string{
		"GET /v1/export HTTP/1.0\r\n\r\n":                                 "505",
		"GET /v1/events HTTP/1.0\r\nAccept: application/x-ndjson\r\n\r\n": "505",
		"GET /v1/events HTTP/1.0\r\n\r\n":                                 "200",
	} {
		conn, err := net.Dial("tcp", s.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := io.WriteString(conn, request); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(conn)
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.0 "+status) {
			t.Errorf("%q: %v: %s", request, err, answer)
		}
	}
}

// When the client goes, the scan stops and the slot is free again.
func TestExportIsCancelled(t *testing.T) {
	s := newServer(t)
	s.mem.Publish(run(0, 50_000)...)
	for range 20 { // more than there are slots
		resp := s.do("GET", "/v1/export", "Accept-Encoding", "identity")
		if _, err := io.ReadFull(resp.Body, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	deadline := time.Now().Add(10 * time.Second)
	for !strings.Contains(s.get("/metrics"), "daybook_query_exports_running 0") {
		if time.Now().After(deadline) {
			t.Fatal("exports still run")
		}
		time.Sleep(10 * time.Millisecond)
	}
}
