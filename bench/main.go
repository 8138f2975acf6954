// Command bench compares Daybook with other programs that take and search
// events, on this machine, in one run:
//
//	go run ./bench --daybook ./daybook --victorialogs /path/to/victoria-logs
//
// Every program gets the same bytes over the same kind of connections, into an
// empty folder of the same file system, and the programs take turns. Each is
// then asked the same questions, and the run fails if their answers differ. The
// output is Markdown: the machine, what was compared and how, and a table for
// each number of events.
//
// What a program costs is what the operating system says of its process: CPU
// time of user and system until it has ended, and its peak of resident memory.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// options is what the command line says.
type options struct {
	sizes       []int // events
	rounds      []int // for each of sizes
	connections int
	batch       int
	singles     int // connections that publish one event a request
	probes      int // events that are looked for until they are found
	seed        uint64
	dir         string // holds the folders of the programs
	programs    []program
	day         time.Time // on which the events happen, UTC
	log         io.Writer
	command     string // as it was given, with names for paths
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parse(os.Args[1:], os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(2)
	}
	if err := compare(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse(args []string, stderr io.Writer) (*options, error) {
	o := &options{log: stderr, day: time.Now().UTC().Truncate(24 * time.Hour).Add(-24 * time.Hour)}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(stderr)
	daybookPath := f.String("daybook", "./daybook", "`path` of the daybook binary")
	vlPath := f.String("victorialogs", "", "`path` of a victoria-logs binary; without it Daybook is measured alone")
	vlVersion := f.String("victorialogs-version", "", "`version` to print for it, where it was built without one")
	events := f.String("events", "1M", "`numbers` of events, such as 1M,5M,20M; a table each")
	rounds := f.String("rounds", "3", "how `often` each program takes its turn: one number, or one for each of --events")
	f.IntVar(&o.connections, "connections", 4, "`connections` that publish in bulk")
	f.IntVar(&o.batch, "batch", 1000, "`events` a request in bulk")
	f.IntVar(&o.singles, "singles", 1000, "`connections` that publish one event a request")
	f.IntVar(&o.probes, "probes", 10, "`events` published one by one and looked for until found")
	f.Uint64Var(&o.seed, "seed", 1, "`seed` of the generated events")
	f.StringVar(&o.dir, "dir", "", "`folder` in which the programs' data folders are made and removed (default the temporary folder)")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("%q: there are flags only", f.Arg(0))
	}
	if o.connections < 1 || o.batch < 1 || o.singles < 1 || o.probes < 1 {
		return nil, fmt.Errorf("--connections, --batch, --singles and --probes must be at least 1")
	}
	var err error
	if o.sizes, err = numbers("--events", *events); err != nil {
		return nil, err
	}
	if o.rounds, err = numbers("--rounds", *rounds); err != nil {
		return nil, err
	}
	switch len(o.rounds) {
	case 1:
		for len(o.rounds) < len(o.sizes) {
			o.rounds = append(o.rounds, o.rounds[0])
		}
	case len(o.sizes):
	default:
		return nil, fmt.Errorf("--rounds %s: must be one number, or %d as --events has", *rounds, len(o.sizes))
	}
	f.Visit(func(set *flag.Flag) {
		value := set.Value.String()
		switch set.Name {
		case "dir":
			return
		case "daybook", "victorialogs":
			value = filepath.Base(value)
		}
		o.command += " --" + set.Name + " " + value
	})
	o.programs = append(o.programs, daybook{path: *daybookPath})
	if *vlPath != "" {
		o.programs = append(o.programs, victoriaLogs{path: *vlPath, version: *vlVersion})
	}
	return o, nil
}

// numbers parses a list such as 500k,1M,20M.
func numbers(name, list string) ([]int, error) {
	var out []int
	for s := range strings.SplitSeq(list, ",") {
		digits, factor := s, 1
		switch {
		case strings.HasSuffix(s, "k"):
			digits, factor = s[:len(s)-1], 1000
		case strings.HasSuffix(s, "M"):
			digits, factor = s[:len(s)-1], 1_000_000
		}
		n, err := strconv.Atoi(digits)
		if err != nil || n < 1 || n > 1_000_000_000/factor {
			return nil, fmt.Errorf("%s %q: must be numbers from 1 to 1000M, such as 500k,1M,20M", name, s)
		}
		out = append(out, n*factor)
	}
	return out, nil
}

// compare runs everything and writes the report.
func compare(ctx context.Context, o *options, w io.Writer) error {
	for _, p := range o.programs {
		if _, err := os.Stat(p.Path()); err != nil {
			return fmt.Errorf("%s: %w", p.Name(), err)
		}
	}
	dir, err := os.MkdirTemp(o.dir, "daybook-compare-*")
	if err != nil {
		return err
	}
	return errors.Join(o.report(ctx, dir, w), os.RemoveAll(dir))
}

func (o *options) report(ctx context.Context, dir string, w io.Writer) error {
	started := time.Now()
	if err := writeHead(ctx, w, o, dir, started); err != nil {
		return err
	}
	for i, size := range o.sizes {
		t, err := o.measure(ctx, dir, size, o.rounds[i])
		if err != nil {
			return err
		}
		if err := t.write(w); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "\nThe whole run took %s.\n", time.Since(started).Round(time.Second))
	return err
}
