package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Time and size limits of a connection. What a request's body and answer may
// take is the guard's matter, because it depends on how much of it there is.
const (
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	// maxHeader has room for the longest filter with every byte percent-encoded.
	maxHeader = 64 << 10
	// grace is how long requests in flight have to end when the server does.
	grace = 15 * time.Second
)

// Server serves an [API] on one address.
type Server struct {
	api      *API
	listener net.Listener
	http     *http.Server
}

// Open listens on addr, such as 127.0.0.1:7575, and serves nothing yet:
// connections wait until Run. With a TLS configuration, which must offer h2 for
// HTTP/2, they are encrypted; nil: they are not.
func Open(ctx context.Context, addr string, encryption *tls.Config, a *API) (*Server, error) {
	var lc net.ListenConfig
	listener, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen on %q: %w", addr, err)
	}
	s := &Server{api: a, listener: listener}
	s.http = &http.Server{
		Handler:           a,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(a.log.Handler(), slog.LevelDebug), // clients that misbehave: nothing to do about
		ConnContext:       a.connections.admit,
		ConnState:         a.connections.track,
		TLSConfig:         encryption,
	}
	return s, nil
}

// Addr returns the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Run serves until ctx ends, then ends the tails and lets other requests finish,
// for grace at most. What has not finished then is broken off, and shows it, and
// so is, sooner, an answer whose client takes nothing of it.
func (s *Server) Run(ctx context.Context) error {
	failed := make(chan error, 1)
	go func() {
		if s.http.TLSConfig != nil {
			failed <- s.http.ServeTLS(s.listener, "", "") // the certificates are the configuration's
			return
		}
		failed <- s.http.Serve(s.listener)
	}()
	select {
	case err := <-failed:
		s.api.Close()
		return fmt.Errorf("serve %s: %w", s.listener.Addr(), err)
	case <-ctx.Done():
	}
	s.api.Close()
	s.api.connections.closeWaiting()
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	err := s.http.Shutdown(ending)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.http.Close()
	}
	<-failed
	return err
}

// Close stops listening, for a server that was opened and never ran. After Run
// it does nothing.
func (s *Server) Close() error {
	s.api.Close()
	if err := s.listener.Close(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
