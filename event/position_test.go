package event

import "testing"

func TestLogIDText(t *testing.T) {
	tests := []struct {
		text string
		ok   bool
	}{
		{"6c1f0e5b2d9a4873", true},
		{"0000000000000000", true},
		{"", false},
		{"6c1f0e5b2d9a487", false},
		{"6c1f0e5b2d9a48733", false},
		{"6C1F0E5B2D9A4873", false},
		{"6c1f0e5b2d9a487g", false},
	}
	for _, tt := range tests {
		var id LogID
		err := id.UnmarshalText([]byte(tt.text))
		if (err == nil) != tt.ok || tt.ok && id.String() != tt.text {
			t.Errorf("%q: %v, %v", tt.text, id, err)
		}
	}
	if a, b := NewLogID(), NewLogID(); a == b || a.IsZero() {
		t.Errorf("two new identities: %v and %v", a, b)
	}
}
