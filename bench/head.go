package main

import (
	"context"
	"debug/buildinfo"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/daybook-log/daybook/internal/bench"
)

// writeHead says what was compared, on what, and how.
func writeHead(ctx context.Context, w io.Writer, o *options, dir string, started time.Time) error {
	p := &printer{w: w}
	p.line("Printed on %s by", started.UTC().Format("2006-01-02 15:04 MST"))
	p.line("")
	p.line("```sh\ngo run ./bench%s\n```", o.command)
	p.line("")
	p.line("- machine: %d × %s, %s of memory, %s, %s/%s, kernel %s; the load generator (%s) ran on the same processors", runtime.NumCPU(),
		fact("/proc/cpuinfo", "model name"), memory(), fileSystem(dir), runtime.GOOS, runtime.GOARCH, kernel(), runtime.Version())
	for _, prog := range o.programs {
		built := "an unknown compiler"
		if info, err := buildinfo.ReadFile(prog.Path()); err == nil {
			built = info.GoVersion
		}
		p.line("- %s: %s, built with %s", prog.Name(), prog.Version(ctx), built)
	}
	p.line("- events: %s; spread evenly over one day", bench.Shape)
	p.line("")
	for _, prog := range o.programs {
		p.line("%s:", prog.Name())
		p.line("")
		for _, n := range prog.Notes() {
			p.line("- %s", n)
		}
		p.line("")
	}
	p.line("The programs took turns, each on an empty folder of the same file system, fed the same bytes by the same generator. Each part of a " +
		"turn had a process of its own: the load, the rest after it, the queries, the single events; CPU and memory are what the system says of " +
		"that process at its end. A query's figure is the median of its runs, until all of the answer was there; the answers of all programs " +
		"were compared and are equal. A ratio says how many times better Daybook did: below 1 it did worse.")
	return p.err
}

type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// fact returns the first value of a name in a file of "name : value" lines.
func fact(file, name string) string {
	b, err := os.ReadFile(file)
	if err == nil {
		for line := range strings.Lines(string(b)) {
			if k, v, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(k) == name {
				return strings.TrimSpace(v)
			}
		}
	}
	return "unknown"
}

func memory() string {
	var kib int64
	if _, err := fmt.Sscanf(fact("/proc/meminfo", "MemTotal"), "%d kB", &kib); err != nil {
		return "unknown"
	}
	return fmt.Sprintf("%.0f GB", float64(kib)*1024/1e9)
}

func kernel() string {
	b, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(b))
}

// fileSystem returns the type of the file system that holds dir.
func fileSystem(dir string) string {
	b, err := os.ReadFile("/proc/mounts")
	if err != nil {
		return "unknown"
	}
	dir, err = filepath.Abs(dir)
	if err != nil {
		return "unknown"
	}
	kind, longest := "unknown", -1
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		if len(f) < 3 {
			continue
		}
		below := f[1] == "/" || dir == f[1] || strings.HasPrefix(dir, f[1]+"/")
		if below && len(f[1]) >= longest {
			kind, longest = f[2], len(f[1])
		}
	}
	return kind
}
