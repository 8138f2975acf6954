package kafka

import (
	"reflect"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// unsupported answers a request that is not, with Kafka's code for it in every
// place where a client may look.
func unsupported(q kmsg.Request) kmsg.Response {
	code := kerr.UnsupportedVersion.Code
	r := q.ResponseKind()
	if f := reflect.ValueOf(r).Elem().FieldByName("ErrorCode"); f.IsValid() {
		f.SetInt(int64(code))
	}
	switch q := q.(type) {
	case *kmsg.FindCoordinatorRequest:
		noCoordinator(q, r.(*kmsg.FindCoordinatorResponse))
	case *kmsg.FetchRequest:
		r := r.(*kmsg.FetchResponse)
		for _, asked := range q.Topics {
			t := kmsg.NewFetchResponseTopic()
			t.Topic = asked.Topic
			for _, p := range asked.Partitions {
				out := kmsg.NewFetchResponseTopicPartition()
				out.Partition, out.ErrorCode = p.Partition, code
				out.HighWatermark, out.LastStableOffset, out.LogStartOffset = -1, -1, -1
				t.Partitions = append(t.Partitions, out)
			}
			r.Topics = append(r.Topics, t)
		}
	case *kmsg.ListOffsetsRequest:
		r := r.(*kmsg.ListOffsetsResponse)
		for _, asked := range q.Topics {
			t := kmsg.NewListOffsetsResponseTopic()
			t.Topic = asked.Topic
			for _, p := range asked.Partitions {
				out := kmsg.NewListOffsetsResponseTopicPartition()
				out.Partition, out.ErrorCode = p.Partition, code
				t.Partitions = append(t.Partitions, out)
			}
			r.Topics = append(r.Topics, t)
		}
	}
	return r
}

// noCoordinator answers that there are neither consumer groups nor
// transactions. The codes are final ones: clients look for a coordinator that
// is only not available for ever.
func noCoordinator(q *kmsg.FindCoordinatorRequest, r *kmsg.FindCoordinatorResponse) {
	code, message := kerr.GroupAuthorizationFailed.Code, kmsg.StringPtr("there are no consumer groups here")
	if q.CoordinatorType == 1 {
		code, message = kerr.TransactionalIDAuthorizationFailed.Code, kmsg.StringPtr("transactions are not supported")
	}
	r.ErrorCode, r.ErrorMessage, r.NodeID, r.Port = code, message, -1, -1
	for _, key := range q.CoordinatorKeys {
		c := kmsg.NewFindCoordinatorResponseCoordinator()
		c.Key, c.NodeID, c.Port, c.ErrorCode, c.ErrorMessage = key, -1, -1, code, message
		r.Coordinators = append(r.Coordinators, c)
	}
}
