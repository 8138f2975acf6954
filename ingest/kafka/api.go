package kafka

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// API keys.
const (
	produceKey          = int16(kmsg.Produce)
	fetchKey            = int16(kmsg.Fetch)
	listOffsetsKey      = int16(kmsg.ListOffsets)
	metadataKey         = int16(kmsg.Metadata)
	findCoordinatorKey  = int16(kmsg.FindCoordinator)
	saslHandshakeKey    = int16(kmsg.SASLHandshake)
	apiVersionsKey      = int16(kmsg.ApiVersions)
	createTopicsKey     = int16(kmsg.CreateTopics)
	initProducerIDKey   = int16(kmsg.InitProducerID)
	saslAuthenticateKey = int16(kmsg.SASLAuthenticate)
)

// api is a kind of request that clients are told is answered, and in which
// versions.
type api struct{ key, min, max int16 }

// apis is what ApiVersions answers. Some stand there only because librdkafka
// tells by them what else a broker can do: format 2 by Fetch 4, zstd by Fetch
// 10, lz4 by FindCoordinator 0, compression at all by Produce 0.
func apis() []api {
	return []api{
		{produceKey, 0, 12},
		{fetchKey, 0, 11},
		{listOffsetsKey, 0, 6},
		{metadataKey, 0, 12},
		{findCoordinatorKey, 0, 4},
		{saslHandshakeKey, 0, 1},
		{apiVersionsKey, 0, 4},
		{createTopicsKey, 0, 7},
		{initProducerIDKey, 0, 5},
		{saslAuthenticateKey, 0, 2},
	}
}

// The one broker, as clients know it.
const (
	brokerID        = 1
	leaderEpoch     = 0
	noAuthorizedOps = math.MinInt32 // they are not told
)

// handle handles a request: it puts the answer into the open group, or returns
// why the connection is to be closed.
func (c *conn) handle(ctx context.Context, h header, body []byte) error {
	supported := apis()
	i := slices.IndexFunc(supported, func(a api) bool { return a.key == h.key })
	known := i >= 0 && supported[i].min <= h.version && h.version <= supported[i].max
	if h.key == apiVersionsKey && !known {
		c.unknownVersions(h)
		return nil
	}
	q := kmsg.RequestForKey(h.key)
	if q == nil || h.version < 0 || h.version > q.MaxVersion() {
		return malformed(fmt.Sprintf("API key %d, version %d, is unknown", h.key, h.version))
	}
	q.SetVersion(h.version)
	body, err := content(body, q.IsFlexible())
	if err != nil {
		return err
	}
	if h.key == produceKey && known {
		return c.produce(ctx, h, body)
	}
	if err := q.ReadFrom(body); err != nil {
		return malformed(fmt.Sprintf("a request of API key %d, version %d, cannot be read: %v", h.key, h.version, err))
	}
	if !known {
		c.answer(h, unsupported(q))
		return nil
	}
	r, err := c.respond(ctx, q)
	c.answer(h, r)
	return err
}

// respond answers a request of a supported version that publishes nothing. With
// an error the connection is closed after the answer.
func (c *conn) respond(ctx context.Context, q kmsg.Request) (kmsg.Response, error) {
	switch q := q.(type) {
	case *kmsg.ApiVersionsRequest:
		return apiVersions(), nil
	case *kmsg.MetadataRequest:
		return c.metadata(q), nil
	case *kmsg.InitProducerIDRequest:
		return c.initProducerID(q), nil
	case *kmsg.SASLHandshakeRequest:
		return c.handshake(q), nil
	case *kmsg.SASLAuthenticateRequest:
		return c.authenticate(ctx, q)
	case *kmsg.CreateTopicsRequest:
		return c.createTopics(q), nil
	default:
		return unsupported(q), nil
	}
}

func apiVersions() *kmsg.ApiVersionsResponse {
	r := kmsg.NewPtrApiVersionsResponse()
	for _, a := range apis() {
		k := kmsg.NewApiVersionsResponseApiKey()
		k.ApiKey, k.MinVersion, k.MaxVersion = a.key, a.min, a.max
		r.ApiKeys = append(r.ApiKeys, k)
	}
	return r
}

// unknownVersions answers an ApiVersions request of a version that is not
// known, in version 0, which every client reads (KIP-511).
func (c *conn) unknownVersions(h header) {
	r := apiVersions()
	r.ErrorCode = kerr.UnsupportedVersion.Code
	h.version = 0
	c.answer(h, r)
}

// metadata answers which topics there are, and who leads their partitions.
func (c *conn) metadata(q *kmsg.MetadataRequest) kmsg.Response {
	r := kmsg.NewPtrMetadataResponse()
	b := kmsg.NewMetadataResponseBroker()
	b.NodeID, b.Host, b.Port = brokerID, c.s.host, c.s.port
	if local, ok := c.net.LocalAddr().(*net.TCPAddr); ok && b.Host == "" {
		b.Host, b.Port = local.IP.String(), int32(local.Port)
	}
	r.Brokers, r.ControllerID, r.AuthorizedOperations = []kmsg.MetadataResponseBroker{b}, brokerID, noAuthorizedOps
	r.ClusterID = kmsg.StringPtr(c.s.opts.ClusterID)
	if all := q.Topics == nil || q.Version == 0 && len(q.Topics) == 0; all {
		if c.principal == nil {
			return r
		}
		for _, name := range c.s.opts.Topics {
			r.Topics = append(r.Topics, c.topic(&name))
		}
		return r
	}
	for i := range q.Topics {
		t := c.topic(q.Topics[i].Topic)
		t.TopicID = q.Topics[i].TopicID
		r.Topics = append(r.Topics, t)
	}
	return r
}

// topic describes a topic; nil is one that the client names by an id only.
func (c *conn) topic(name *string) kmsg.MetadataResponseTopic {
	t := kmsg.NewMetadataResponseTopic()
	t.Topic, t.AuthorizedOperations = name, noAuthorizedOps
	switch {
	case name == nil:
		t.ErrorCode = kerr.UnknownTopicID.Code
	case c.principal == nil:
		t.ErrorCode = kerr.TopicAuthorizationFailed.Code
	case !validTopic(*name):
		t.ErrorCode = kerr.InvalidTopicException.Code
	case !slices.Contains(c.s.opts.Topics, *name):
		t.ErrorCode = kerr.UnknownTopicOrPartition.Code
	default:
		p := kmsg.NewMetadataResponseTopicPartition()
		p.Leader, p.LeaderEpoch = brokerID, leaderEpoch
		p.Replicas, p.ISR = []int32{brokerID}, []int32{brokerID}
		t.Partitions = []kmsg.MetadataResponseTopicPartition{p}
	}
	return t
}

// initProducerID gives an idempotent producer its id. It is random, so that no
// id is ever given twice, whatever the server has forgotten at a restart.
func (c *conn) initProducerID(q *kmsg.InitProducerIDRequest) kmsg.Response {
	r := kmsg.NewPtrInitProducerIDResponse()
	r.ProducerID, r.ProducerEpoch = -1, -1
	switch {
	case c.principal == nil:
		r.ErrorCode = kerr.ClusterAuthorizationFailed.Code
	case q.TransactionalID != nil:
		r.ErrorCode = kerr.TransactionalIDAuthorizationFailed.Code
	default:
		var b [8]byte
		rand.Read(b[:]) // never fails: crypto/rand ends the program instead
		r.ProducerID, r.ProducerEpoch = int64(binary.BigEndian.Uint64(b[:])>>1), 0
	}
	return r
}

// createTopics answers that the topics are there, or are never made.
func (c *conn) createTopics(q *kmsg.CreateTopicsRequest) kmsg.Response {
	r := kmsg.NewPtrCreateTopicsResponse()
	for i := range q.Topics {
		t := kmsg.NewCreateTopicsResponseTopic()
		t.Topic = q.Topics[i].Topic
		switch {
		case c.principal == nil:
			t.ErrorCode = kerr.TopicAuthorizationFailed.Code
		case slices.Contains(c.s.opts.Topics, t.Topic):
			t.ErrorCode = kerr.TopicAlreadyExists.Code
			t.NumPartitions, t.ReplicationFactor = 1, 1
		default:
			t.ErrorCode = kerr.PolicyViolation.Code
			t.ErrorMessage = kmsg.StringPtr("no topics are made here; publish to " + strings.Join(c.s.opts.Topics, " or "))
		}
		r.Topics = append(r.Topics, t)
	}
	return r
}
