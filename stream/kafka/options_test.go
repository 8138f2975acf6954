package kafka

import (
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestParseURL(t *testing.T) {
	tests := []struct {
		url     string
		brokers []string
		topic   string
		err     string
	}{
		{"kafka://a:9092", []string{"a:9092"}, "", ""},
		{"kafka://a", []string{"a:9092"}, "", ""},
		{"kafka://a:1,b.example.com,10.0.0.1:9094/audit.events", []string{"a:1", "b.example.com:9092", "10.0.0.1:9094"}, "audit.events", ""},
		{"kafka://[::1]:9093,[fe80::1],::1", []string{"[::1]:9093", "[fe80::1]:9092", "[::1]:9092"}, "", ""},
		{"", nil, "", "write it as kafka://"},
		{"http://a:9092", nil, "", "write it as kafka://"},
		{"kafka://", nil, "", "has no host"},
		{"kafka://a,,b", nil, "", "has no host"},
		{"kafka://a:0", nil, "", "not a number from 1 to 65535"},
		{"kafka://a:65536", nil, "", "not a number from 1 to 65535"},
		{"kafka://a:b:c", nil, "", "is not host:port"},
		{"kafka://a/", nil, "", "a name has 1 to 249 characters"},
		{"kafka://a/..", nil, "", "a name has 1 to 249 characters"},
		{"kafka://a/b/c", nil, "", "'/' is not allowed"},
		{"kafka://a?acks=0", nil, "", `"?acks=0" has no meaning`},
		{"kafka://me:secret@a:9092", nil, "", "settings of their own"},
	}
	for _, tt := range tests {
		o, err := ParseURL(tt.url)
		if tt.err != "" {
			if err == nil || !strings.Contains(err.Error(), tt.err) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%q: error %v, want %q", tt.url, err, tt.err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(o.Brokers, tt.brokers) || o.Topic != tt.topic {
			t.Errorf("%q: brokers %q, topic %q, %v; want %q, %q", tt.url, o.Brokers, o.Topic, err, tt.brokers, tt.topic)
		}
	}
}

// FuzzParseURL checks that whatever is taken can be written down and read again.
func FuzzParseURL(f *testing.F) {
	f.Add("kafka://a:1,[::1],b/topic")
	f.Fuzz(func(t *testing.T, url string) {
		o, err := ParseURL(url)
		if err != nil {
			return
		}
		again := "kafka://" + strings.Join(o.Brokers, ",")
		if o.Topic != "" {
			again += "/" + o.Topic
		}
		if o2, err := ParseURL(again); err != nil || !reflect.DeepEqual(o, o2) {
			t.Errorf("%q is %+v; %q is %+v, %v", url, o, again, o2, err)
		}
	})
}

func TestOptionsRefused(t *testing.T) {
	brokers := []string{"127.0.0.1:1"}
	tests := []struct {
		options Options
		want    string
	}{
		{Options{}, "Brokers is empty"},
		{Options{Brokers: brokers, Topic: "a b"}, `' ' is not allowed`},
		{Options{Brokers: brokers, DeliveryTimeout: time.Millisecond}, "at least 1s"},
		{Options{Brokers: brokers, MaxWaitingBytes: -1}, "must not be negative"},
		{Options{Brokers: brokers, MinRetention: -1}, "must not be negative"},
		{Options{Brokers: brokers, Create: &Topic{Partitions: -1}}, "must not be negative"},
		{Options{Brokers: brokers, SASL: SASL{Mechanism: "PLAIN"}}, "needs a user and a password"},
		{Options{Brokers: brokers, SASL: SASL{User: "a", Password: "b"}}, "no mechanism"},
		{Options{Brokers: brokers, SASL: SASL{Mechanism: "GSSAPI", User: "a", Password: "b"}}, `mechanism "GSSAPI"`},
	}
	for _, tt := range tests {
		if _, err := Open(t.Context(), tt.options); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: error %v, want %q", tt.options, err, tt.want)
		}
	}
}

func TestBackoff(t *testing.T) {
	for fails := range 100 {
		if d := backoff(fails); d < 37*time.Millisecond || d > 1250*time.Millisecond {
			t.Errorf("after %d failures: %s", fails, d)
		}
	}
}
