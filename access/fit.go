package access

import "github.com/daybook-log/daybook/filter"

// Conflict is why rights, a tenant, and a filter or hidden fields cannot be had
// together, by whatever they are to be had: a key, or a role.
type Conflict uint8

// The conflicts.
const (
	Fits            Conflict = iota // there is none
	NoRights                        // no right at all
	OwnTenant                       // more than to read, of a tenant that is Daybook's own
	MetricsOfTenant                 // figures of the whole server, for one tenant
	AdminNarrowed                   // who makes keys could make one that sees everything
	UnreadNarrowed                  // what is narrowed is not read
)

// Fit returns what is wrong with rights of a tenant, "" being every one; narrowed
// says that there is a filter, or a hidden field.
func Fit(rights Rights, tenant string, narrowed bool) Conflict {
	switch {
	case rights == 0:
		return NoRights
	case Reserved(tenant) && rights != Read:
		return OwnTenant
	case rights&Metrics != 0 && tenant != "":
		return MetricsOfTenant
	case narrowed && rights&Admin != 0:
		return AdminNarrowed
	case narrowed && rights&Read == 0:
		return UnreadNarrowed
	}
	return Fits
}

// NewScope returns the scope that a tenant, a filter ("" is none) and hidden fields
// make. The error is of the hidden fields; [Scope.Predicate] tells of the filter.
func NewScope(tenant, text string, hide []string) (Scope, error) {
	hidden, err := filter.ParseHidden(hide)
	if err != nil {
		return Scope{}, err
	}
	s := Scope{Tenant: tenant, Hidden: hidden}
	if text != "" {
		s.Filters = []string{text}
	}
	return s, nil
}
