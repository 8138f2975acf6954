// Command daybook is the whole of Daybook: the server and everything that talks
// to it. This folder is the only one that knows all the stages; serve.go wires
// them.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, stop, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	os.Exit(code)
}
