package api_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/daybook-log/daybook/access"
	"github.com/daybook-log/daybook/access/keyring"
	"github.com/daybook-log/daybook/api"
	"github.com/daybook-log/daybook/ingest"
	"github.com/daybook-log/daybook/query"
	"github.com/daybook-log/daybook/store/segment"
)

// BenchmarkPublish is what it costs to publish over HTTP, from socket to log: on a
// server that asks nobody, and with a key. The difference is what asking costs.
func BenchmarkPublish(b *testing.B) {
	for _, events := range []int{1, 100, 1000} {
		var body bytes.Buffer
		for i := range events {
			fmt.Fprintf(&body, `{"timestamp":1793491200000,"user_id":"user-%d","action":"document.read","resource":"document/%d","outcome":"success","operation":"read","source":"billing-api","source_ip":"10.0.%d.%d","session_id":"s-%012x","request_id":"req-%016x","metadata":{"bytes":%d,"duration_ms":%d,"region":"eu-west-1"},"user_type":"user"}`+"\n",
				i%97, i, i%256, i%251, i%31, i, i*13, i%400)
		}
		for _, with := range []string{"nobody", "a key"} {
			b.Run(fmt.Sprintf("%d as %s", events, with), func(b *testing.B) {
				s, _, _ := buildPipeline(b, segment.Options{}, query.Options{}, ingest.HTTPOptions{
					Door: func(r *http.Request) ingest.Door { return api.GrantOf(r.Context()) },
				})
				show := func(*http.Request) {}
				if with == "a key" {
					for _, rights := range []access.Rights{access.Admin, access.Write} {
						_, secret, err := s.keys.Create(keyring.Spec{Name: "bench", Rights: rights}, "bench", time.Now(), nil)
						if err != nil {
							b.Fatal(err)
						}
						show = bearer(secret)
					}
				}
				for b.Loop() {
					req, err := http.NewRequest("POST", s.URL+"/v1/events?receipts=false", bytes.NewReader(body.Bytes()))
					if err != nil {
						b.Fatal(err)
					}
					show(req)
					resp, err := s.Client().Do(req)
					if err != nil {
						b.Fatal(err)
					}
					io.Copy(io.Discard, resp.Body)
					if resp.Body.Close(); resp.StatusCode != 200 {
						b.Fatalf("answered %d", resp.StatusCode)
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*events), "ns/event")
			})
		}
	}
}
