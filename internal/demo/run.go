package demo

import (
	"bytes"
	"context"
	"time"

	"github.com/daybook-log/daybook/internal/client"
)

// Rate is how many things happen a second, on average, while the demo runs: the
// company's busiest hour, whatever the clock says.
const Rate = 8

// Past publishes what happened in the days before now, so that counts and the
// histogram have a shape at once.
func Past(ctx context.Context, cl *client.Client, c *Company, now time.Time, days int) error {
	var body bytes.Buffer
	n := 0
	for t := now.Add(-time.Duration(days) * 24 * time.Hour); t.Before(now); t = t.Add(20 * time.Second) {
		if c.rnd.Float64() > Busy(t) {
			continue
		}
		for _, ev := range c.Next(t) {
			body.Write(ev)
			body.WriteByte('\n')
			n++
		}
		if n >= 1000 {
			if _, err := cl.Publish(ctx, body.Bytes(), nil); err != nil {
				return err
			}
			body.Reset()
			n = 0
		}
	}
	if n == 0 {
		return nil
	}
	_, err := cl.Publish(ctx, body.Bytes(), nil)
	return err
}

// Run publishes what happens now until ctx ends.
func Run(ctx context.Context, cl *client.Client, c *Company) error {
	for {
		pause := time.Duration(c.rnd.ExpFloat64() / Rate * float64(time.Second))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(min(pause, 2*time.Second)):
		}
		for _, ev := range c.Next(time.Now()) {
			if _, err := cl.Publish(ctx, append(ev, '\n'), nil); err != nil {
				if ctx.Err() != nil {
					return nil
				}
				return err
			}
		}
	}
}
