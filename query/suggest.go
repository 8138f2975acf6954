package query

import (
	"strings"

	"github.com/daybook-log/daybook/event"
)

// suggest returns the name closest to s if one is close, as a clause for the end
// of an error message: "; did you mean user_id?"; else "". Case, dashes and
// underscores do not count.
func suggest(s string, names []string) string {
	if len(s) > 64 {
		return ""
	}
	best, limit := "", max(1, len(s)/3)
	for _, name := range names {
		if d := event.EditDistance(fold(s), fold(name), limit); d <= limit {
			best, limit = name, d-1
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// fold makes userId, user-id and user_id one name.
func fold(s string) string {
	return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s))
}
