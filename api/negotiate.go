package api

import (
	"mime"
	"net/http"
	"strconv"
	"strings"
)

// negotiate returns which of offers a request's Accept header prefers, the first
// where it has no wish that can be met.
func negotiate(r *http.Request, offers ...string) string {
	best, bestQ := offers[0], 0.0
	for _, header := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(header, ",") {
			mediaType, params, err := mime.ParseMediaType(part)
			if err != nil {
				continue
			}
			if q := quality(params["q"]); q > bestQ {
				for _, offer := range offers {
					if matches(mediaType, offer) {
						best, bestQ = offer, q
						break
					}
				}
			}
		}
	}
	return best
}

// matches reports whether a media range, such as text/* or */*, holds a type.
func matches(mediaRange, mediaType string) bool {
	if mediaRange == mediaType || mediaRange == "*/*" {
		return true
	}
	major, ok := strings.CutSuffix(mediaRange, "*")
	return ok && strings.HasPrefix(mediaType, major)
}

// acceptsGzip reports whether an answer may be compressed with gzip.
func acceptsGzip(r *http.Request) bool {
	for _, header := range r.Header.Values("Accept-Encoding") {
		for part := range strings.SplitSeq(header, ",") {
			coding, params, _ := strings.Cut(part, ";")
			if coding = strings.TrimSpace(coding); strings.EqualFold(coding, "gzip") {
				_, q, _ := strings.Cut(params, "q=")
				return quality(strings.TrimSpace(q)) > 0
			}
		}
	}
	return false
}

// quality reads the weight of a preference, 1 when absent and 0 when it is none.
func quality(q string) float64 {
	if q == "" {
		return 1
	}
	v, err := strconv.ParseFloat(q, 64)
	if err != nil || v < 0 || v > 1 {
		return 0
	}
	return v
}
