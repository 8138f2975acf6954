package kafka

import (
	"bytes"
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// plainMechanism is the one SASL mechanism: with the others a server has to
// keep more of a secret than its hash.
const plainMechanism = "PLAIN"

var errLogin = errors.New("the client could not log in")

// handshake answers which SASL mechanism a client may use.
func (c *conn) handshake(q *kmsg.SASLHandshakeRequest) kmsg.Response {
	r := kmsg.NewPtrSASLHandshakeResponse()
	switch {
	case c.s.opts.Authenticate == nil || c.principal != nil:
		r.ErrorCode = kerr.IllegalSaslState.Code
	case q.Version == 0: // what follows it would be no request
		r.ErrorCode = kerr.UnsupportedVersion.Code
	case q.Mechanism != plainMechanism:
		r.ErrorCode = kerr.UnsupportedSaslMechanism.Code
		r.SupportedMechanisms = []string{plainMechanism}
	default:
		r.SupportedMechanisms = []string{plainMechanism}
		c.plain = true
	}
	return r
}

// authenticate logs a client in. After a login that fails the connection is
// closed.
func (c *conn) authenticate(ctx context.Context, q *kmsg.SASLAuthenticateRequest) (kmsg.Response, error) {
	r := kmsg.NewPtrSASLAuthenticateResponse()
	if !c.plain || c.principal != nil {
		r.ErrorCode = kerr.IllegalSaslState.Code
		return r, errLogin
	}
	// RFC 4616: who to act as, who logs in, and the password, with a NUL between.
	fields := bytes.Split(q.SASLAuthBytes, []byte{0})
	var err error
	switch {
	case len(fields) != 3:
		err = errors.New("malformed")
	case len(fields[0]) > 0 && !bytes.Equal(fields[0], fields[1]):
		err = errors.New("it asks to act as another user")
	default:
		c.principal, err = c.s.opts.Authenticate(ctx, string(fields[1]), string(fields[2]), c.net.RemoteAddr())
	}
	if err != nil || c.principal == nil {
		c.principal = nil
		c.s.metrics.LoginsFailed.Add(1)
		c.s.log.Info("a Kafka client could not log in", "remote", c.net.RemoteAddr(), "err", err)
		r.ErrorCode = kerr.SaslAuthenticationFailed.Code
		r.ErrorMessage = kmsg.StringPtr("the id or the secret of the key is wrong")
		if errors.Is(err, ErrNoRight) {
			r.ErrorMessage = kmsg.StringPtr(ErrNoRight.Error())
		}
		return r, errLogin
	}
	return r, nil
}
