package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// printer writes events, or other records, in the form the user asked for with -o.
type printer struct {
	w      *bufio.Writer
	format string // table, json or ndjson
	table  table
	color  bool
	n      int // records printed
}

// table says how records are shown as rows.
type table struct {
	head string
	row  func(p *printer, record []byte) (string, error)
}

func (c *cli) printable(cmd *cobra.Command) *cobra.Command {
	cmd.Flags().StringVarP(&c.output, "output", "o", "", "`form` of the output: table, json or ndjson (default table on a terminal, else ndjson)")
	return cmd
}

func (c *cli) format() (string, error) {
	switch c.output {
	case "table", "json", "ndjson":
		return c.output, nil
	case "":
		if isTerminal(c.stdout) {
			return "table", nil
		}
		return "ndjson", nil
	}
	return "", usageError("-o %s: must be table, json or ndjson", c.output)
}

func (c *cli) printer() (*printer, error) {
	format, err := c.format()
	if err != nil {
		return nil, err
	}
	return &printer{
		w:      bufio.NewWriterSize(c.stdout, 64<<10),
		format: format,
		table:  eventTable,
		color:  isTerminal(c.stdout) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
	}, nil
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// row is what the table shows of an event.
type row struct {
	Timestamp string `json:"timestamp"`
	UserID    string `json:"user_id"`
	Action    string `json:"action"`
	Resource  string `json:"resource"`
	Outcome   string `json:"outcome"`
	SourceIP  string `json:"source_ip"`
}

// eventTable shows events.
var eventTable = table{
	head: fmt.Sprintf("%-24s %-8s %-28s %-34s %-40s %s", "TIMESTAMP", "OUTCOME", "USER_ID", "ACTION", "RESOURCE", "SOURCE_IP"),
	row: func(p *printer, ev []byte) (string, error) {
		var r row
		if err := json.Unmarshal(ev, &r); err != nil {
			return "", err
		}
		return fmt.Sprintf("%s %s %s %s %s %s", cell(instant(r.Timestamp), 24), p.paint(r.Outcome, cell(r.Outcome, 8)),
			cell(r.UserID, 28), cell(r.Action, 34), cell(r.Resource, 40), strings.TrimSpace(cell(r.SourceIP, 39))), nil
	},
}

// instant writes a time of the API's as the table shows times.
func instant(rfc3339 string) string {
	t, err := time.Parse(time.RFC3339Nano, rfc3339)
	if err != nil {
		return rfc3339
	}
	return t.UTC().Format("2006-01-02 15:04:05.000Z")
}

// print prints one record, given as JSON.
func (p *printer) print(record []byte) error {
	p.n++
	switch p.format {
	case "ndjson":
		p.w.Write(record)
		return p.w.WriteByte('\n')
	case "json":
		if p.n == 1 {
			p.w.WriteString("[\n  ")
		} else {
			p.w.WriteString(",\n  ")
		}
		_, err := p.w.Write(record)
		return err
	}
	if p.n == 1 {
		fmt.Fprintln(p.w, p.table.head)
	}
	row, err := p.table.row(p, record)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.w, row)
	return err
}

// paint colours a cell by the outcome it tells of.
func (p *printer) paint(outcome, s string) string {
	if !p.color {
		return s
	}
	switch outcome {
	case "failure":
		return "\x1b[31m" + s + "\x1b[0m"
	case "denied":
		return "\x1b[33m" + s + "\x1b[0m"
	case "success":
		return "\x1b[32m" + s + "\x1b[0m"
	}
	return s
}

// close ends the output and writes out what is buffered.
func (p *printer) close() error {
	if p.format == "json" {
		if p.n == 0 {
			p.w.WriteString("[")
		}
		p.w.WriteString("\n]\n")
	}
	return p.w.Flush()
}

// cell fits a string into a column of a terminal: cut with an ellipsis, padded,
// and without the control characters by which an event could drive the terminal.
func cell(s string, width int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return '\uFFFD'
		}
		return r
	}, s)
	n := utf8.RuneCountInString(s)
	if n > width {
		r := []rune(s)
		return string(r[:width-1]) + "…"
	}
	return s + strings.Repeat(" ", width-n)
}

// progress tells on a terminal how far long work has come. On anything else it
// is silent.
type progress struct {
	w     io.Writer
	on    bool
	what  string
	start time.Time
	last  time.Time
	total int64 // bytes to read; 0: unknown
}

func (c *cli) progress(what string, total int64) *progress {
	now := time.Now()
	return &progress{w: c.stderr, on: isTerminal(c.stderr), what: what, start: now, last: now, total: total}
}

// at shows that events are done and bytes of the total are read.
func (p *progress) at(events, bytes int64) {
	p.draw(func(seconds float64) string {
		bar := ""
		if p.total > 0 {
			done := min(int(30*bytes/p.total), 30)
			bar = "[" + strings.Repeat("#", done) + strings.Repeat("-", 30-done) + "] "
		}
		return fmt.Sprintf("%s%d events, %.0f/s", bar, events, float64(events)/seconds)
	})
}

// bytes shows that bytes have passed, where nobody knows how many will.
func (p *progress) bytes(n int64) {
	p.draw(func(seconds float64) string {
		mb := float64(n) / 1e6
		return fmt.Sprintf("%.1f MB, %.1f MB/s", mb, mb/seconds)
	})
}

// draw shows what text makes of the seconds since the start, at most ten times a
// second.
func (p *progress) draw(text func(seconds float64) string) {
	if now := time.Now(); p.on && now.Sub(p.last) >= 100*time.Millisecond {
		p.last = now
		fmt.Fprintf(p.w, "\r\x1b[K%s %s", p.what, text(now.Sub(p.start).Seconds()))
	}
}

// done clears the line.
func (p *progress) done() {
	if p.on {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}
