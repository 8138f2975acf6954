package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/daybook-log/daybook/internal/client"
)

// Exit codes, for scripts. They are part of the command's interface.
const (
	exitOK          = 0
	exitError       = 1   // something failed
	exitUsage       = 2   // the command line, a setting or a filter is wrong
	exitRefused     = 3   // some events were refused, the others were stored
	exitNotFound    = 4   // no such event
	exitDenied      = 5   // the key is missing, or may not do this
	exitInterrupted = 130 // SIGINT or SIGTERM before the work was done
)

// exitCode carries the code a command ends with when it is not exitError.
type exitCode struct {
	code int
	err  error // nil: everything was said already
}

func (e *exitCode) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit status %d", e.code)
	}
	return e.err.Error()
}

func (e *exitCode) Unwrap() error { return e.err }

func usageError(format string, args ...any) error {
	return &exitCode{exitUsage, fmt.Errorf(format, args...)}
}

// cli is what every command shares.
type cli struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	server string
	key    string // file that holds it; "": DAYBOOK_KEY does
	ca     string
	output string
}

func (c *cli) client() (*client.Client, error) {
	key, err := c.keyToShow()
	if err != nil {
		return nil, &exitCode{exitUsage, err}
	}
	cl, err := client.NewWith(c.server, client.Options{Key: key, CA: c.ca})
	if err != nil {
		return nil, &exitCode{exitUsage, err}
	}
	var once sync.Once
	cl.OnMissing = func(events string) {
		once.Do(func() {
			fmt.Fprintf(c.stderr, "daybook: WARNING: damaged segments that hold %s events are set aside; what is in them is missing here\n", events)
		})
	}
	return cl, nil
}

// keyToShow returns the API key that a command shows the server. It comes from a
// file or the environment and not from a flag, which every user of the machine
// could read.
func (c *cli) keyToShow() (string, error) {
	if c.key == "" {
		return strings.TrimSpace(os.Getenv("DAYBOOK_KEY")), nil
	}
	b, err := os.ReadFile(c.key)
	if err != nil {
		return "", fmt.Errorf("--key-file: %w", err)
	}
	key := strings.TrimSpace(string(b))
	if key == "" {
		return "", fmt.Errorf("--key-file: %s is empty; it must hold an API key", c.key)
	}
	return key, nil
}

// run executes one command line and returns its exit code. After the first
// signal ctx ends and stop gives the next one its deadly meaning back.
func run(ctx context.Context, stop func(), args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	context.AfterFunc(ctx, stop)
	c := &cli{stdin: stdin, stdout: stdout, stderr: stderr}
	root := c.root()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	code := exitError
	var ec *exitCode
	var p *client.Problem
	switch {
	case errors.As(err, &ec):
		code = ec.code
		if ec.err == nil {
			return code
		}
	case ctx.Err() != nil && errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &p) && p.Status == http.StatusNotFound:
		code = exitNotFound
	case errors.As(err, &p) && (p.Status == http.StatusUnauthorized || p.Status == http.StatusForbidden):
		code = exitDenied
	case errors.As(err, &p) && p.Status == http.StatusBadRequest, isUsage(err):
		code = exitUsage
	}
	fmt.Fprintf(stderr, "daybook: %v\n", err)
	if code == exitDenied && p.Status == http.StatusUnauthorized {
		fmt.Fprintln(stderr, "Commands show the API key that is in DAYBOOK_KEY, or in the file that --key-file names; `daybook keys create` makes one.")
	}
	if u := (*url.Error)(nil); errors.As(err, &u) && errors.Is(u, syscall.ECONNREFUSED) { // by a server, not by a broker
		fmt.Fprintf(stderr, "Is a server running? `daybook serve` starts one; --server or DAYBOOK_SERVER names another than %s.\n", c.server)
	}
	return code
}

// isUsage recognises what the command library says about a wrong command line;
// it has no error types of its own.
func isUsage(err error) bool {
	msg := err.Error()
	for _, s := range []string{"unknown command", "unknown flag", "unknown shorthand", "invalid argument", "flag needs an argument", "accepts ", "requires at least"} {
		if strings.HasPrefix(msg, s) {
			return true
		}
	}
	return false
}

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "daybook",
		Short: "A real-time audit log: publish, search, watch, count, export",
		Long: `Daybook keeps an audit log: who did what to what, when, from where, and how it
ended. Applications publish events; an acknowledged event is on disk, on the live
tail, and in every search that starts afterwards.

Exit codes: 0 done, 1 failed, 2 wrong command line or filter, 3 some events were
refused, 4 no such event, 5 the key is missing or may not, 130 interrupted.`,
		Example: `  daybook demo                              # a server with an invented company in it
  daybook serve                             # a server on 127.0.0.1:7575
  daybook import audit.log                  # a Kubernetes, CloudTrail, Vault … audit log
  daybook query 'outcome:denied -user_id:root'
  daybook tail 'action:*.delete'`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(
		c.serveCommand(), c.demoCommand(),
		c.sendCommand(), c.importCommand(),
		c.queryCommand(), c.tailCommand(), c.countCommand(), c.exportCommand(), c.getCommand(),
		c.deadLettersCommand(), c.keysCommand(), c.viewerTokenCommand(),
		c.checkCommand(), c.benchCommand(), c.versionCommand(),
	)
	return root
}

// talks adds the flag that names the server.
func (c *cli) talks(cmd *cobra.Command) *cobra.Command {
	def := os.Getenv("DAYBOOK_SERVER")
	if def == "" {
		def = "http://127.0.0.1:7575"
	}
	cmd.Flags().StringVar(&c.server, "server", def, "`URL` of the server [$DAYBOOK_SERVER]")
	cmd.Flags().StringVar(&c.key, "key-file", "", "`file` that holds the API key to show; without it, the variable DAYBOOK_KEY")
	cmd.Flags().StringVar(&c.ca, "ca", os.Getenv("DAYBOOK_CA"), "PEM `file` of the authorities to trust instead of the system's [$DAYBOOK_CA]")
	return cmd
}
