package oidc

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// The provider is asked when it is needed, by one for all, not again soon after it
// failed, and now and then to see what has changed.
func TestDiscovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newIssuer(t)
		down, slow := true, 3*time.Second
		s.fail = func(w http.ResponseWriter, r *http.Request) bool {
			time.Sleep(slow)
			if down {
				w.WriteHeader(http.StatusBadGateway)
			}
			return down
		}
		p, log := s.open(nil)
		synctest.Wait()
		asked := func(want int32) {
			t.Helper()
			if got := s.discoveries.Load(); got != want {
				t.Fatalf("the provider was asked %d times, want %d", got, want)
			}
		}
		asked(0) // Open asks nobody

		begin := func(users int, kind error) {
			t.Helper()
			var wg sync.WaitGroup
			for range users {
				wg.Go(func() {
					err := p.Begin(httptest.NewRecorder(), httptest.NewRequest("GET", "/login", nil), "/")
					wantError(t, err, kind, "")
				})
			}
			wg.Wait()
		}
		began := time.Now()
		begin(1000, ErrUnavailable)
		asked(1)
		if took := time.Since(began); took != slow {
			t.Errorf("they waited %v, want %v", took, slow)
		}
		begin(1000, ErrUnavailable)
		asked(1) // it failed just now
		time.Sleep(retryAfter)
		begin(1, ErrUnavailable)
		asked(2)
		if got := strings.Count(log.String(), "cannot discover"); got != 2 {
			t.Errorf("%d failures were logged, want 2:\n%s", got, log)
		}

		down = false
		time.Sleep(retryAfter)
		begin(1000, nil)
		asked(3)
		time.Sleep(refreshAfter - time.Second)
		begin(1000, nil)
		asked(3)

		// It is asked anew while the old answer serves, down or not.
		down = true
		time.Sleep(time.Second)
		began = time.Now()
		begin(1000, nil)
		if took := time.Since(began); took != 0 {
			t.Errorf("they waited %v for an answer that is known", took)
		}
		time.Sleep(slow)
		synctest.Wait()
		asked(4)
		begin(1000, nil)
		asked(4)
		down = false
		time.Sleep(retryAfter)
		begin(1, nil)
		time.Sleep(slow)
		synctest.Wait()
		asked(5)
		begin(1, nil)
		asked(5)
	})
}

// Who goes away takes nothing from those who wait for the same answer.
func TestDiscoveryOutlivesItsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newIssuer(t)
		s.fail = func(http.ResponseWriter, *http.Request) bool { time.Sleep(time.Minute / 10); return false }
		p, _ := s.open(nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			err := p.Begin(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, "GET", "/login", nil), "/")
			wantError(t, err, ErrUnavailable, "the request ended")
		})
		time.Sleep(500 * time.Millisecond)
		wg.Go(func() {
			if _, err := s.begin(p); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		if got := s.discoveries.Load(); got != 1 {
			t.Errorf("the provider was asked %d times, want once", got)
		}
	})
}

// A discovery document that would lead astray is no discovery.
func TestDiscoveryDistrusts(t *testing.T) {
	set := func(name string, value any) func(*issuer) {
		return func(s *issuer) {
			s.doc[name] = value
			if value == nil {
				delete(s.doc, name)
			}
		}
	}
	tests := []struct {
		name   string
		change func(*issuer)
		says   string
	}{
		{"another issuer", set("issuer", "https://elsewhere.example"), "did not match"},
		{"a slash more", set("issuer", issuerURL+"/"), "did not match"},
		{"no authorization endpoint", set("authorization_endpoint", nil), "authorization_endpoint"},
		{"no token endpoint", set("token_endpoint", nil), "token_endpoint"},
		{"no keys", set("jwks_uri", nil), "jwks_uri"},
		{"tokens over http", set("token_endpoint", "http://id.example/token"), "must be https"},
		{"keys over http", set("jwks_uri", "http://127.0.0.1/keys"), "must be https"},
		{"userinfo over http", set("userinfo_endpoint", "http://id.example/userinfo"), "must be https"},
		{"authorization by script", set("authorization_endpoint", "javascript:alert(1)"), "absolute https URL"},
		{"no JSON", func(s *issuer) {
			s.fail = func(w http.ResponseWriter, _ *http.Request) bool { w.Write([]byte("<html>")); return true }
		}, "failed to decode"},
		{"no end", set("x", strings.Repeat("x", maxAnswer)), "more than 1048576 bytes"},
		{"elsewhere", func(s *issuer) {
			s.fail = func(w http.ResponseWriter, r *http.Request) bool {
				http.Redirect(w, r, "https://evil.example/", http.StatusFound)
				return true
			}
		}, "302"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newIssuer(t)
			tt.change(s)
			p, _ := s.open(nil)
			_, err := s.begin(p)
			wantError(t, err, ErrUnavailable, tt.says)
			if err != nil && len(err.Error()) > 600 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
		})
	}
}

// A sign-in may take ten minutes.
func TestFlowExpires(t *testing.T) {
	for took, kind := range map[time.Duration]error{flowLifetime - time.Second: nil, flowLifetime: ErrFlow, time.Hour: ErrFlow} {
		synctest.Test(t, func(t *testing.T) {
			s := newIssuer(t)
			s.claims["exp"] = time.Now().Add(2 * time.Hour).Unix()
			p, log := s.open(nil)
			v, err := s.begin(p)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(took) // and the browser does not drop the cookie
			_, err = s.finish(p, v, log)
			wantError(t, err, kind, map[error]string{ErrFlow: "took longer than 10m"}[kind])
		})
	}
}

// Keys that a provider has begun to sign with are fetched when they are needed.
func TestKeysRotate(t *testing.T) {
	s := newIssuer(t)
	p, log := s.open(nil)
	for range 2 {
		delete(s.claims, "nonce")
		v, err := s.begin(p)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.finish(p, v, log); err != nil {
			t.Fatal(err)
		}
		s.key = newIssuer(t).key
	}
}
