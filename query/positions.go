package query

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/daybook-log/daybook/event"
)

// maxPartitions bounds the partition numbers that are read from outside, because
// event.Positions takes memory for every partition up to the greatest.
const maxPartitions = 1 << 16

// maxPairs bounds how many partitions a parameter may name.
const maxPairs = 1024

// FormatPositions writes positions as partition:offset pairs, separated by
// commas, leaving out partitions that stand at their beginning: 0:124,2:7. The
// beginning of the stream is 0:0.
func FormatPositions(ps event.Positions) string { return string(AppendPositions(nil, ps)) }

// AppendPositions appends what [FormatPositions] returns.
func AppendPositions(dst []byte, ps event.Positions) []byte {
	start := len(dst)
	for p, offset := range ps {
		if offset == 0 {
			continue
		}
		if len(dst) > start {
			dst = append(dst, ',')
		}
		dst = strconv.AppendInt(dst, int64(p), 10)
		dst = append(dst, ':')
		dst = strconv.AppendInt(dst, offset, 10)
	}
	if len(dst) == start {
		dst = append(dst, "0:0"...)
	}
	return dst
}

// ParsePositions reads what [FormatPositions] writes.
func ParsePositions(s string) (event.Positions, error) {
	pairs, err := parsePairs(s)
	var ps event.Positions
	for _, pair := range pairs {
		ps = ps.Advance(pair.Partition, pair.Offset)
	}
	return ps, err
}

// AppendTailID appends the id of a tail of the log that has come to ps: what
// [FormatPositions] writes, "@" and the log's identity: 0:124@6c1f0e5b2d9a4873.
func AppendTailID(dst []byte, log event.LogID, ps event.Positions) []byte {
	dst = append(AppendPositions(dst, ps), '@')
	dst, _ = log.AppendText(dst) // never fails
	return dst
}

// ParseTailID reads what [AppendTailID] writes. The log is zero when the id is
// positions only, as an earlier version wrote it and a person may.
func ParseTailID(s string) (ps event.Positions, log event.LogID, err error) {
	positions, identity, named := strings.Cut(s, "@")
	if named {
		if err := log.UnmarshalText([]byte(identity)); err != nil {
			return nil, log, err
		}
	}
	ps, err = ParsePositions(positions)
	return ps, log, err
}

// parsePairs reads partition:offset pairs; each partition may be named once. No
// offset is the greatest integer, so that there is one after it.
func parsePairs(s string) ([]event.Position, error) {
	var pairs []event.Position
	for part := range strings.SplitSeq(s, ",") {
		partition, offset, ok := strings.Cut(part, ":")
		p, errP := strconv.ParseUint(partition, 10, 32)
		o, errO := strconv.ParseInt(offset, 10, 64)
		pair := event.Position{Partition: int32(p), Offset: o}
		switch {
		case !ok || errP != nil || errO != nil || o < 0 || o == math.MaxInt64:
			return nil, fmt.Errorf("%q is not partition:offset, such as 0:1234", shorten(part))
		case p >= maxPartitions:
			return nil, fmt.Errorf("partition %d: partitions are numbered 0 to %d", p, maxPartitions-1)
		case slices.ContainsFunc(pairs, func(o event.Position) bool { return o.Partition == pair.Partition }):
			return nil, fmt.Errorf("partition %d is named twice", p)
		case len(pairs) == maxPairs:
			return nil, fmt.Errorf("more than %d partitions are named", maxPairs)
		}
		pairs = append(pairs, pair)
	}
	return pairs, nil
}
