package settings

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Size is a number of bytes, written 64MiB, 4GiB, 500kB or 1048576.
type Size int64

var units = []struct {
	name  string
	bytes int64
}{
	{"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1},
}

// Set implements pflag.Value.
func (s *Size) Set(v string) error {
	num, unit := v, int64(1)
	for _, u := range units {
		if n, ok := strings.CutSuffix(v, u.name); ok {
			num, unit = strings.TrimSpace(n), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(num, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/unit {
		return fmt.Errorf("not a size; write a whole number of bytes or 512KiB, 64MiB, 4GiB")
	}
	*s = Size(n * unit)
	return nil
}

// String writes the size in the largest binary unit that divides it.
func (s Size) String() string {
	for _, u := range units[:3] {
		if s != 0 && int64(s)%u.bytes == 0 {
			return strconv.FormatInt(int64(s)/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(int64(s), 10)
}

// Type implements pflag.Value.
func (s *Size) Type() string { return "size" }

// Duration is a length of time, written 30s, 15m, 36h or 7d.
type Duration time.Duration

const day = 24 * time.Hour

// Set implements pflag.Value.
func (d *Duration) Set(v string) error {
	if n, ok := strings.CutSuffix(v, "d"); ok {
		if days, err := strconv.ParseUint(n, 10, 16); err == nil {
			*d = Duration(time.Duration(days) * day)
			return nil
		}
	}
	if v == "0" {
		*d = 0
		return nil
	}
	t, err := time.ParseDuration(v)
	if err != nil || t < 0 {
		return fmt.Errorf("not a length of time; write 30s, 15m, 36h or 7d")
	}
	*d = Duration(t)
	return nil
}

// String writes whole days as 7d and anything else as Go does.
func (d Duration) String() string {
	t := time.Duration(d)
	switch {
	case t == 0:
		return "0"
	case t%day == 0:
		return strconv.Itoa(int(t/day)) + "d"
	}
	s := t.String()
	s = strings.TrimSuffix(s, "0s")
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	if s == "" || !strings.ContainsAny(s[len(s)-1:], "smh") {
		return t.String()
	}
	return s
}

// Type implements pflag.Value.
func (d *Duration) Type() string { return "duration" }

type text string

func (t *text) Set(v string) error {
	if v == "" {
		return fmt.Errorf("must not be empty")
	}
	*t = text(v)
	return nil
}
func (t *text) String() string { return string(*t) }
func (t *text) Type() string   { return "string" }

// optional is a text that may be empty.
type optional string

func (o *optional) Set(v string) error { *o = optional(v); return nil }
func (o *optional) String() string     { return string(*o) }
func (o *optional) Type() string       { return "string" }

type boolean bool

func (b *boolean) Set(v string) error {
	if v != "true" && v != "false" {
		return fmt.Errorf("must be true or false")
	}
	*b = v == "true"
	return nil
}
func (b *boolean) String() string { return strconv.FormatBool(bool(*b)) }
func (b *boolean) Type() string   { return "bool" }

// roles is a set of roles, in the order of the data's way.
type roles []string

func (r *roles) Set(v string) error {
	every := []string{RoleIngest, RoleIndex, RoleQuery}
	if v == "all" {
		*r = every
		return nil
	}
	var set roles
	given := strings.Split(v, ",")
	for i := range given {
		given[i] = strings.TrimSpace(given[i])
		if !slices.Contains(every, given[i]) {
			return fmt.Errorf("must be all, or some of %s, separated by commas", strings.Join(every, ", "))
		}
	}
	for _, role := range every {
		if slices.Contains(given, role) {
			set = append(set, role)
		}
	}
	*r = set
	return nil
}

func (r *roles) String() string {
	if len(*r) == 3 {
		return "all"
	}
	return strings.Join(*r, ",")
}
func (r *roles) Type() string { return "string" }

// list is texts separated by commas, see splitList.
type list []string

func (l *list) Set(v string) error {
	*l = splitList(v)
	return nil
}

func (l *list) String() string {
	if l == nil {
		return ""
	}
	return strings.Join(*l, ", ")
}
func (l *list) Type() string { return "list" }

type count int

func (c *count) Set(v string) error {
	n, err := strconv.Atoi(v)
	if err != nil || n < 0 {
		return fmt.Errorf("not a number; write a whole number, 0 or more")
	}
	*c = count(n)
	return nil
}
func (c *count) String() string { return strconv.Itoa(int(*c)) }
func (c *count) Type() string   { return "number" }

// oneOf is a text that must be one of a few.
type oneOf struct {
	value   *string
	options []string
}

func choice(value *string, options ...string) *oneOf { return &oneOf{value, options} }

func (o *oneOf) Set(v string) error {
	if !slices.Contains(o.options, v) {
		return fmt.Errorf("must be one of %s", strings.Join(o.options, ", "))
	}
	*o.value = v
	return nil
}
func (o *oneOf) String() string { return *o.value }
func (o *oneOf) Type() string   { return "string" }

// splitList splits a list at its commas and trims the parts; empty ones are left
// out. A comma inside an expression between slashes or a quoted key splits nothing:
//
//	card-number, /a{1,3}/, labels."x,y"
//
// An expression ends with a slash before a comma or the end; \/ is a slash inside.
func splitList(list string) (parts []string) {
	for list != "" {
		list = strings.TrimSpace(list)
		end, expression, quoted := 0, strings.HasPrefix(list, "/"), false
		for ; end < len(list); end++ {
			c := list[end]
			if c == '\\' && (expression || quoted) {
				end++
			} else if c == '"' && !expression {
				quoted = !quoted
			} else if c == '/' && expression && end > 0 {
				rest := strings.TrimSpace(list[end+1:])
				expression = rest != "" && rest[0] != ','
			} else if c == ',' && !expression && !quoted {
				break
			}
		}
		end = min(end, len(list))
		if part := strings.TrimSpace(list[:end]); part != "" {
			parts = append(parts, part)
		}
		list = list[min(end+1, len(list)):]
	}
	return parts
}
