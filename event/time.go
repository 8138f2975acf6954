package event

import (
	"errors"
	"fmt"
	"math"
	"strconv"
)

// A timestamp is nanoseconds since the Unix epoch in an int64, which reaches
// from 1677-09-21T00:12:43.145224193Z to 2262-04-11T23:47:16.854775807Z.
// [NoTime] is the one value below.
const (
	minSeconds, minNanos = -9223372037, 145224193
	maxSeconds, maxNanos = 9223372036, 854775807
)

// The units that an integer timestamp is told apart by. Each is the smallest
// magnitude that is read in the unit: seconds would be dates after 5138, and
// milliseconds, microseconds and nanoseconds dates within three years of 1970.
const (
	minEpochMilli = 100_000_000_000         // 10¹¹: 1973-03-03 in ms
	minEpochMicro = 100_000_000_000_000     // 10¹⁴: 1973-03-03 in µs
	minEpochNano  = 100_000_000_000_000_000 // 10¹⁷: 1973-03-03 in ns
)

const (
	reasonTime      = "must be a date and time that exists, in RFC 3339 form such as 2026-11-24T02:10:37.5Z, or an integer of epoch ms, µs or ns"
	reasonNoOffset  = "has no offset from UTC; end it with Z or an offset such as +01:00"
	reasonFraction  = "has more than 9 digits after the second; nanoseconds are the finest that is kept"
	reasonLeap      = "is a leap second, which Unix time cannot tell from the next second; write second 59 or the next minute"
	reasonTimeRange = "is outside of what is kept: 1677-09-21T00:12:43.145224193Z to 2262-04-11T23:47:16.854775807Z"
	reasonSeconds   = "is too small for epoch milliseconds and looks like seconds; multiply by 1000, or write RFC 3339 for a time within three years of 1970"
	reasonEpoch     = "must be a whole number of milliseconds, microseconds or nanoseconds since 1970 when it is a number"
)

// ParseTime parses an RFC 3339 time with up to nine fractional digits and an
// offset from UTC, Z or ±hh:mm, and returns nanoseconds since the Unix epoch. T
// and Z may be lower-case. A leap second and a time outside of 1677–2262 are
// errors.
func ParseTime(s string) (ns int64, err error) {
	ns, reason := parseTime(s)
	if reason != "" {
		return NoTime, fmt.Errorf("time %s %s", quoteValue(s), reason)
	}
	return ns, nil
}

// parseTime is ParseTime with the reason of a failure in place of an error.
func parseTime(s string) (ns int64, reason string) {
	if len(s) < 19 || s[4] != '-' || s[7] != '-' || s[10]|0x20 != 't' || s[13] != ':' || s[16] != ':' {
		return NoTime, reasonTime
	}
	year := digits2(s, 0)*100 + digits2(s, 2)
	month, day := digits2(s, 5), digits2(s, 8)
	hour, minute, second := digits2(s, 11), digits2(s, 14), digits2(s, 17)
	if year > 9999 || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 || minute > 59 || second > 60 {
		return NoTime, reasonTime
	}
	i, nanos := 19, 0
	if at := s[i:]; at != "" && at[0] == '.' {
		i++
		scale := 1_000_000_000
		for ; i < len(s) && isDigit(s[i]); i++ {
			if scale == 1 {
				return NoTime, reasonFraction
			}
			scale /= 10
			nanos += int(s[i]-'0') * scale
		}
		if i == 20 {
			return NoTime, reasonTime
		}
	}
	offset, reason := parseOffset(s[i:])
	if reason != "" {
		return NoTime, reason
	}
	if second == 60 {
		return NoTime, reasonLeap
	}
	seconds := int64(daysSinceEpoch(year, month, day))*86400 + int64(hour*3600+minute*60+second-offset)
	if seconds < minSeconds || seconds == minSeconds && nanos < minNanos || seconds > maxSeconds || seconds == maxSeconds && nanos > maxNanos {
		return NoTime, reasonTimeRange
	}
	return seconds*1_000_000_000 + int64(nanos), "" // may wrap in between, and then wraps back
}

// parseOffset returns the seconds that Z or ±hh:mm lies east of UTC.
func parseOffset(s string) (seconds int, reason string) {
	if s == "Z" || s == "z" {
		return 0, ""
	}
	if s == "" {
		return 0, reasonNoOffset
	}
	if len(s) != 6 || s[0] != '+' && s[0] != '-' || s[3] != ':' || digits2(s, 1) > 23 || digits2(s, 4) > 59 {
		return 0, reasonTime
	}
	seconds = digits2(s, 1)*3600 + digits2(s, 4)*60
	if s[0] == '-' {
		seconds = -seconds
	}
	return seconds, ""
}

// digits2 returns the value of the two digits at s[i], or more than any two
// digits can be.
func digits2(s string, i int) int {
	hi, lo := s[i]-'0', s[i+1]-'0'
	if hi > 9 || lo > 9 {
		return 10_000
	}
	return int(hi)*10 + int(lo)
}

// parseEpoch returns the time that a number, in canonical form, means as a
// timestamp. The magnitude tells the unit, see [Decoder]. What is too small for
// milliseconds is refused, because a wrong guess would be off by a factor of a
// thousand.
func parseEpoch(number string) (ns int64, reason string) {
	n, err := strconv.ParseInt(number, 10, 64)
	if errors.Is(err, strconv.ErrRange) {
		return NoTime, reasonTimeRange
	}
	if err != nil {
		return NoTime, reasonEpoch
	}
	unit := int64(1)
	switch {
	case n == NoTime:
		return NoTime, reasonTimeRange
	case n > -minEpochMilli && n < minEpochMilli:
		return NoTime, reasonSeconds
	case n > -minEpochMicro && n < minEpochMicro:
		unit = 1_000_000
	case n > -minEpochNano && n < minEpochNano:
		unit = 1_000
	}
	if n > math.MaxInt64/unit || n < -math.MaxInt64/unit {
		return NoTime, reasonTimeRange
	}
	return n * unit, ""
}

// AppendTime appends ns, in nanoseconds since the Unix epoch, as RFC 3339 in UTC
// with as many fractional digits as it needs and no trailing zero.
func AppendTime(dst []byte, ns int64) []byte {
	seconds, nanos := ns/1_000_000_000, ns%1_000_000_000
	if nanos < 0 {
		seconds, nanos = seconds-1, nanos+1_000_000_000
	}
	days, rest := seconds/86400, int(seconds%86400)
	if rest < 0 {
		days, rest = days-1, rest+86400
	}
	year, month, day := dateOf(int(days))
	b := [30]byte{4: '-', 7: '-', 10: 'T', 13: ':', 16: ':', 19: '.'}
	putDigits2(&b, 0, year/100)
	putDigits2(&b, 2, year%100)
	putDigits2(&b, 5, month)
	putDigits2(&b, 8, day)
	putDigits2(&b, 11, rest/3600)
	putDigits2(&b, 14, rest/60%60)
	putDigits2(&b, 17, rest%60)
	end := 19
	if nanos != 0 {
		end = 29
		for i := 28; i > 19; i-- {
			b[i] = byte('0' + nanos%10)
			nanos /= 10
		}
		for b[end-1] == '0' {
			end--
		}
	}
	b[end] = 'Z'
	return append(dst, b[:end+1]...)
}

func putDigits2(b *[30]byte, i, v int) {
	b[i], b[i+1] = byte('0'+v/10), byte('0'+v%10)
}

// The two conversions below count years from March, so that the leap day comes
// last, in eras of 400 years, after which the calendar repeats.

const (
	daysPerEra  = 146097
	epochOffset = 719468 // days from 0000-03-01 to 1970-01-01
)

// daysSinceEpoch returns the days from 1970-01-01 to a date of the years 0–9999.
func daysSinceEpoch(year, month, day int) int {
	if month <= 2 {
		year, month = year-1, month+12
	}
	year += 400 // never negative
	era, y := year/400-1, year%400
	return era*daysPerEra + y*365 + y/4 - y/100 + (153*(month-3)+2)/5 + day - 1 - epochOffset
}

// dateOf is the inverse of daysSinceEpoch.
func dateOf(days int) (year, month, day int) {
	days += epochOffset // never negative for an int64 of nanoseconds
	era, d := days/daysPerEra, days%daysPerEra
	y := (d - d/1460 + d/36524 - d/146096) / 365
	d -= y*365 + y/4 - y/100
	m := (5*d + 2) / 153
	day = d - (153*m+2)/5 + 1
	year, month = era*400+y, m+3
	if month > 12 {
		year, month = year+1, month-12
	}
	return year, month, day
}

func daysIn(year, month int) int {
	switch month {
	case 2:
		if year%4 == 0 && (year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	case 4, 6, 9, 11:
		return 30
	}
	return 31
}
