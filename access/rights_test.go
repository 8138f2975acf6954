package access

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestParseRights(t *testing.T) {
	for _, tt := range []struct {
		names, want string // separated by spaces; an error if want begins with !
	}{
		{"write", "write"},
		{"metrics read write", "write,read,metrics"},
		{"read read", "read"},
		{"admin", "admin"},
		{"", "!names no right"},
		{"Read", `!"Read" is no right; there are write, read, admin, metrics`},
		{"read delete", `!"delete" is no right`},
	} {
		r, err := ParseRights(strings.Fields(tt.names))
		if reason, bad := strings.CutPrefix(tt.want, "!"); bad {
			if err == nil || !strings.Contains(err.Error(), reason) || r != 0 {
				t.Errorf("%q: %v, %v; want %s", tt.names, r, err, reason)
			}
			continue
		}
		if err != nil || r.String() != tt.want {
			t.Errorf("%q: %v, %v; want %s", tt.names, r, err, tt.want)
		}
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var again Rights
		if err := json.Unmarshal(b, &again); err != nil || again != r {
			t.Errorf("%s: read again as %v, %v", b, again, err)
		}
	}
	if r, err := ParseRights([]string{" read ", ""}); err == nil {
		t.Errorf("an empty name gives %v", r)
	}
	for _, bad := range []string{`null`, `[]`, `"read"`, `["root"]`, `[1]`, `3`} {
		var r Rights
		if err := json.Unmarshal([]byte(bad), &r); err == nil {
			t.Errorf("%s is read as %v", bad, r)
		}
	}
}

// TestMay is the table of which right allows what.
func TestMay(t *testing.T) {
	for _, tt := range []struct {
		has    Rights
		tenant string
		may    string
	}{
		{Write, "", "write"},
		{Read, "", "read"},
		{Write | Read, "acme", "write read"},
		{Metrics, "", "metrics"},
		{Metrics | Read, "", "read metrics"},
		{Metrics, "acme", ""},
		{Admin, "", "write read admin metrics"},
		{Admin, "acme", "write read admin"},
		{0, "", ""},
	} {
		g := &Grant{Rights: tt.has, Scope: Scope{Tenant: tt.tenant}}
		var may []string
		for _, want := range []Rights{Write, Read, Admin, Metrics} {
			if g.May(want) {
				may = append(may, want.String())
			}
		}
		if got := strings.Join(may, " "); got != tt.may {
			t.Errorf("%s of %q may %q, want %q", tt.has, tt.tenant, got, tt.may)
		}
	}
	if (Write | Metrics).Has(Write|Read) || !(Write | Read | Metrics).Has(Write|Read) {
		t.Error("two rights are wanted, and one is enough, or both are not")
	}
}
