package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/internal/client"
)

// sender publishes events in batches and keeps the account of them. One goroutine
// adds; another publishes what was added when no more comes for a while.
type sender struct {
	c      *cli
	client *client.Client
	batch  int // events per request

	bytesRead atomic.Int64 // of the input, as far as the adding goroutine has come

	mu      sync.Mutex // guards everything below it
	refused io.Writer
	bar     *progress
	last    time.Time // of the last event added
	err     error     // of a publish while nothing was added; the next add returns it

	buf   []byte
	where []string // of each event in buf: file:line, for what is said about it
	raw   [][]byte // of each event in buf: the line to write when it is refused; nil: the event itself
	ends  []int    // of each event in buf

	read, stored, known int64
	reasons             map[string]int64 // refused events by reason
}

func (c *cli) newSender(cl *client.Client, batch int, refused io.Writer, bar *progress) *sender {
	return &sender{c: c, client: cl, batch: batch, refused: refused, bar: bar, reasons: map[string]int64{}}
}

// add takes one event. raw is what it was made from, kept when it is refused.
func (s *sender) add(ctx context.Context, ev, raw []byte, where string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.read++
	s.last = time.Now()
	s.buf = append(append(s.buf, ev...), '\n')
	s.ends = append(s.ends, len(s.buf))
	s.where = append(s.where, where)
	if raw != nil {
		raw = bytes.Clone(raw)
	}
	s.raw = append(s.raw, raw)
	if len(s.ends) >= s.batch || len(s.buf) >= 8<<20 {
		return s.publish(ctx)
	}
	return nil
}

// flush publishes what was added.
func (s *sender) flush(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return cmp.Or(s.err, s.publish(ctx))
}

// quiet is how long nothing must be added for what was to be published, full
// batch or not: input from a pipe may stay quiet for long.
const quiet = 200 * time.Millisecond

// publishWhenQuiet publishes what was added when no more comes, until the
// function that it returns is called.
func (s *sender) publishWhenQuiet(ctx context.Context) (stop func()) {
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(quiet)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			s.mu.Lock()
			if s.err == nil && time.Since(s.last) >= quiet {
				s.err = s.publish(ctx)
			}
			s.mu.Unlock()
		}
	}()
	return func() {
		close(done)
		<-ended
	}
}

// publish publishes what was added and settles each event's account. The caller
// holds mu.
func (s *sender) publish(ctx context.Context) error {
	if len(s.ends) == 0 {
		return nil
	}
	res, err := s.client.Publish(ctx, s.buf, func(err error, pause time.Duration) {
		s.bar.done()
		fmt.Fprintf(s.c.stderr, "daybook: %v; trying again in %v\n", err, pause.Round(time.Millisecond))
	})
	if err != nil {
		return err
	}
	refused := 0
	for _, r := range res.Results {
		at := r.Index
		if len(r.Errors) == 0 || at >= len(s.ends) {
			continue
		}
		refused++
		line := s.raw[at]
		if line == nil {
			start := 0
			if at > 0 {
				start = s.ends[at-1]
			}
			line = s.buf[start : s.ends[at]-1]
		}
		if err := s.note(s.where[at], r.Errors.Error(), reasonClass(r.Errors), line); err != nil {
			return err
		}
	}
	s.stored += int64(len(s.ends) - refused - res.Duplicates)
	s.known += int64(res.Duplicates)
	s.buf, s.ends, s.where, s.raw = s.buf[:0], s.ends[:0], s.where[:0], s.raw[:0]
	s.bar.at(s.read, s.bytesRead.Load())
	return nil
}

// refuse takes a line that is refused before it is sent.
func (s *sender) refuse(where, reason, class string, line []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.read++
	return s.note(where, reason, class, line)
}

// note counts a refused line and writes it, with its reason, to where the user
// wants such lines. The caller holds mu.
func (s *sender) note(where, reason, class string, line []byte) error {
	s.reasons[class]++
	s.bar.done()
	_, err := fmt.Fprintf(s.refused, "%s: %s\n%s\n", where, reason, line)
	return err
}

func (s *sender) refusedCount() int64 {
	var n int64
	for _, k := range s.reasons {
		n += k
	}
	return n
}

// reasonClass sums up why an event was refused in the words of its first error,
// without the value, so that equal reasons count together.
func reasonClass(errs event.Errors) string {
	if errs[0].Field == "" {
		return "not a valid event"
	}
	return errs[0].Field + ": " + errs[0].Reason
}

// report prints the closing table.
func (s *sender) report() error {
	s.bar.done()
	fmt.Fprintf(s.c.stderr, "read           %8d\nstored         %8d\nalready there  %8d\nrefused        %8d\n", s.read, s.stored, s.known, s.refusedCount())
	for _, class := range sortedByCount(s.reasons) {
		fmt.Fprintf(s.c.stderr, "  %8d  %s\n", s.reasons[class], class)
	}
	if s.refusedCount() > 0 {
		return &exitCode{code: exitRefused}
	}
	return nil
}

func (c *cli) sendCommand() *cobra.Command {
	var batch int
	var refusedTo string
	cmd := &cobra.Command{
		Use:   "send [FILE…]",
		Short: "Publish events from files or standard input (NDJSON)",
		Long: `Send publishes one event a line. An event without an event_id is given one
before it is sent, so that a retry after a broken connection stores nothing twice.`,
		Example: `  echo '{"user_id":"alice","action":"document.delete","resource":"document/42"}' | daybook send
  daybook send --batch 5000 events.ndjson`,
		RunE: func(cmd *cobra.Command, files []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			if batch < 1 {
				return usageError("--batch %d: must be at least 1", batch)
			}
			return c.withRefused(refusedTo, func(refused io.Writer) error {
				s := c.newSender(cl, batch, refused, c.progress("send", totalSize(files)))
				return s.sendAll(cmd.Context(), files)
			})
		},
	}
	cmd.Flags().IntVar(&batch, "batch", 1000, "`events` per request")
	cmd.Flags().StringVar(&refusedTo, "refused", "", "write refused lines with their reason to this `file` (default standard error)")
	return c.talks(cmd)
}

// withRefused opens the file for refused lines, if one is named, around f.
func (c *cli) withRefused(name string, f func(io.Writer) error) error {
	if name == "" {
		return f(c.stderr)
	}
	file, err := os.Create(name)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(file)
	return errors.Join(f(w), w.Flush(), file.Close())
}

func totalSize(files []string) (n int64) {
	for _, name := range files {
		if fi, err := os.Stat(name); err == nil {
			n += fi.Size()
		}
	}
	return n
}

func (s *sender) sendAll(ctx context.Context, files []string) error {
	if len(files) == 0 {
		files = []string{"-"}
	}
	stop := s.publishWhenQuiet(ctx)
	defer stop()
	var ids event.IDSource
	for _, name := range files {
		if err := s.sendFile(ctx, name, &ids); err != nil {
			return err
		}
	}
	if err := s.flush(ctx); err != nil {
		return err
	}
	return s.report()
}

// open opens a file, or standard input for "-", and returns how to call it in
// messages.
func (c *cli) open(ctx context.Context, name string) (in io.ReadCloser, shown string, err error) {
	if name == "-" {
		return interruptible(ctx, c.stdin), "standard input", nil
	}
	in, err = os.Open(name)
	return in, name, err
}

// interruptible returns a reader of r that fails with ctx's error when ctx ends,
// even while r waits for input: a quiet pipe must not keep a command from ending.
// Then one read of r is left behind, for the end of the process.
func interruptible(ctx context.Context, r io.Reader) io.ReadCloser {
	pr, pw := io.Pipe()
	stop := context.AfterFunc(ctx, func() { pw.CloseWithError(context.Cause(ctx)) })
	go func() {
		defer stop()
		_, err := io.CopyBuffer(pw, struct{ io.Reader }{r}, make([]byte, 1<<20))
		pw.CloseWithError(err)
	}()
	return pr
}

func (s *sender) sendFile(ctx context.Context, name string, ids *event.IDSource) error {
	in, shown, err := s.c.open(ctx, name)
	if err != nil {
		return err
	}
	defer in.Close()
	lines := bufio.NewReaderSize(in, 1<<20)
	var ev []byte
	for n := 1; ; n++ {
		line, err := readLine(lines, 2*event.MaxSize)
		if err == io.EOF {
			return nil
		}
		where := fmt.Sprintf("%s:%d", shown, n)
		if errors.Is(err, errLongLine) {
			reason := fmt.Sprintf("line is longer than %d bytes; an event is at most %d", 2*event.MaxSize, event.MaxSize)
			if err := s.refuse(where, reason, "line too long", line); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
		s.bytesRead.Add(int64(len(line)) + 1)
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		ev = client.WithIDs(ev[:0], line, ids)
		if err := s.add(ctx, ev, nil, where); err != nil {
			return err
		}
	}
}

var errLongLine = errors.New("line too long")

// readLine returns the next line without its end. A line over limit is read to
// its end and returned cut, with errLongLine. The line is valid until the next
// call.
func readLine(r *bufio.Reader, limit int) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if err == nil || (err == io.EOF && len(line) > 0) {
		return bytes.TrimRight(line, "\r\n"), nil
	}
	if err != bufio.ErrBufferFull {
		return nil, err
	}
	long := bytes.Clone(line[:min(len(line), limit)])
	whole := len(line) <= limit
	for err == bufio.ErrBufferFull {
		line, err = r.ReadSlice('\n')
		if room := limit - len(long); len(line) <= room {
			long = append(long, line...)
		} else {
			long, whole = append(long, line[:room]...), false
		}
	}
	if err != nil && err != io.EOF {
		return nil, err
	}
	if !whole {
		return long, errLongLine
	}
	return bytes.TrimRight(long, "\r\n"), nil
}
