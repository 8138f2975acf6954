package redact

import (
	"strings"
	"testing"

	"github.com/daybook-log/daybook/event"
)

// Events as the stream stores them. typical is what a service publishes, with
// metadata of a few hundred bytes and no secret key; secretive is the same with
// one. cloudtrail is an imported record.
const (
	typical = `{"action":"document.update","event_id":"0198c0de-7a51-7000-8000-0000000000aa","labels":{"env":"prod","team":"billing"},` +
		`"metadata":{"bytes":18234,"client":{"app":"web","locale":"de-DE","version":"4.12.0"},"duration_ms":41,"host":"billing-7d9c5b6f4-x2x8q",` +
		`"order":{"currency":"EUR","id":"ord_8234823","items":3,"total":99.5},"region":"eu-west-1","request":{"method":"PUT","path":"/v1/documents/48213","status":200}},` +
		`"operation":"update","outcome":"success","request_id":"req-7f3a9c21","resource":"document/48213","source":"billing-api",` +
		`"source_ip":"192.0.2.147","tenant_id":"acme","timestamp":"2026-11-24T02:10:37.123456Z","user_agent":"Mozilla/5.0 (X11; Linux x86_64)",` +
		`"user_id":"alice@example.com","user_type":"user"}`
	cloudtrail = `{"action":"ec2.DescribeInstances","metadata":{"awsRegion":"us-east-1","eventCategory":"Management",` +
		`"eventID":"450230d4-b39e-4a18-a6a0-d07a6e2105cb","eventName":"DescribeInstances","eventSource":"ec2.amazonaws.com",` +
		`"eventTime":"2024-07-30T21:31:15Z","eventType":"AwsApiCall","eventVersion":"1.09","managementEvent":true,"readOnly":true,"recipientAccountId":"751353041310",` +
		`"requestID":"2db6a7b5-876c-4995-8258-e6f09d9ef934","requestParameters":{"filterSet":{},"instancesSet":{"items":[{"instanceId":"i-044b1baf4c96e1b62"}]}},` +
		`"responseElements":null,"sourceIPAddress":"192.0.2.147","tlsDetails":{"cipherSuite":"TLS_AES_128_GCM_SHA256","clientProvidedHostHeader":"ec2.us-east-1.amazonaws.com","tlsVersion":"TLSv1.3"},` +
		`"userAgent":"stratus-red-team_8f1c2a","userIdentity":{"accessKeyId":"ASIA7RQR64ZW9JXKWPUO","accountId":"751353041310","arn":"arn:aws:iam::751353041310:user/pedro",` +
		`"principalId":"AIDAICAK2CN5MGHIIDIHA","sessionContext":{"attributes":{"creationDate":"2024-07-30T21:31:15Z","mfaAuthenticated":"false"}},"type":"IAMUser","userName":"pedro"}},` +
		`"resource":"instance/i-044b1baf4c96e1b62","user_id":"pedro"}`
)

var secretive = strings.Replace(typical, `"order":`, `"new_password":"hunter2","order":`, 1)

// BenchmarkRedact takes event.Decoder beside it: the events have to be decoded in
// any case, so the ratio of the two is what redaction costs.
func BenchmarkRedact(b *testing.B) {
	keys := newRedactor(b, Options{Defaults: true})
	hashed := newRedactor(b, Options{Defaults: true, Method: HMAC, Secret: secret})
	patterns := newRedactor(b, Options{Defaults: true, Patterns: PatternNames()})
	fields := newRedactor(b, Options{Defaults: true, Fields: []string{"metadata.card.number", "metadata.customer.iban"}})
	for _, bb := range []struct {
		name, event string
		r           *Redactor // nil: decode
	}{
		{"typical/decode", typical, nil},
		{"typical/keys", typical, keys},
		{"typical/keys+fields", typical, fields},
		{"typical/keys+patterns", typical, patterns},
		{"cloudtrail/decode", cloudtrail, nil},
		{"cloudtrail/keys", cloudtrail, keys},
		{"cloudtrail/keys+patterns", cloudtrail, patterns},
		{"secret/decode", secretive, nil},
		{"secret/mask", secretive, keys},
		{"secret/hmac", secretive, hashed},
	} {
		b.Run(bb.name, func(b *testing.B) {
			var d event.Decoder
			var e, work event.Event
			data := []byte(bb.event)
			if err := d.Decode(data, &e); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if bb.r == nil {
					if err := d.Decode(data, &e); err != nil {
						b.Fatal(err)
					}
					continue
				}
				work.Metadata, work.Labels, work.TenantID = e.Metadata, e.Labels, e.TenantID
				work.UserAgent = e.UserAgent
				bb.r.Redact(&work)
			}
		})
	}
}
