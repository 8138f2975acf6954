package segment

import "math/bits"

// rowset is a set out of the rows [base, base+n) of a source.
type rowset struct {
	base, n int
	words   []uint64 // bit i%64 of word i/64 stands for row base+i
}

// wordsFor returns how many words n rows take.
func wordsFor(n int) int { return (n + 63) / 64 }

// fill puts every row in the set.
func (s *rowset) fill() {
	for i := range s.words {
		s.words[i] = ^uint64(0)
	}
	if s.n%64 != 0 {
		s.words[len(s.words)-1] = 1<<(s.n%64) - 1
	}
}

func (s *rowset) clear() { clear(s.words) }

func (s *rowset) count() int {
	n := 0
	for _, w := range s.words {
		n += bits.OnesCount64(w)
	}
	return n
}

func (s *rowset) empty() bool {
	for _, w := range s.words {
		if w != 0 {
			return false
		}
	}
	return true
}

func (s *rowset) has(row int) bool {
	i := row - s.base
	return i >= 0 && i < s.n && s.words[i/64]&(1<<(i%64)) != 0
}

func (s *rowset) add(row int) {
	i := row - s.base
	s.words[i/64] |= 1 << (i % 64)
}

// subtract takes the rows of o, which has the same bounds, out of s.
func (s *rowset) subtract(o []uint64) {
	for i, w := range o {
		s.words[i] &^= w
	}
}

// keep keeps the rows that pred accepts.
func (s *rowset) keep(pred func(row int) bool) {
	for i, word := range s.words {
		if word == 0 {
			continue
		}
		row := s.base + i*64
		kept := uint64(0)
		for rest := word; rest != 0; rest &= rest - 1 {
			if b := bits.TrailingZeros64(rest); pred(row + b) {
				kept |= 1 << b
			}
		}
		s.words[i] = kept
	}
}

// keepParts drops the rows that lie in none of the parts of mask, as source.parts
// gives it.
func (s *rowset) keepParts(mask uint64, size int) {
	for i := range s.words {
		first := s.base + 64*i
		last := min(first+64, s.base+s.n) - 1
		if mask>>(first/size)&1 == 0 && mask>>(last/size)&1 == 0 {
			s.words[i] = 0
		}
	}
}

// keepIn keeps, of the rows from lo to hi-1, those that pred accepts.
func (s *rowset) keepIn(lo, hi int, pred func(row int) bool) {
	s.eachWord(lo, hi, func(row int, word uint64) {
		dropped := uint64(0)
		for rest := word; rest != 0; rest &= rest - 1 {
			if b := bits.TrailingZeros64(rest); !pred(row + b) {
				dropped |= 1 << b
			}
		}
		s.words[(row-s.base)/64] &^= dropped
	})
}

// keepRuns drops the rows of each word, rows from to to-1, that pred refuses as a
// whole. It does not ask about a word with few rows.
func (s *rowset) keepRuns(pred func(from, to int) bool) {
	const few = 8
	for i, word := range s.words {
		from := s.base + i*64
		if bits.OnesCount64(word) > few && !pred(from, min(from+64, s.base+s.n)) {
			s.words[i] = 0
		}
	}
}

// keepCodes keeps, of the rows from first on that codes are of, those whose code c
// has ok[c] == 1; ok holds 0 and 1 only.
func (s *rowset) keepCodes(first int, codes []uint32, ok []uint8) {
	s.eachWord(first, first+len(codes), func(row int, word uint64) {
		kept := uint64(0)
		if word == ^uint64(0) {
			for b, c := range codes[row-first : row-first+64] {
				kept |= uint64(ok[c]) << b
			}
		} else {
			for rest := word; rest != 0; rest &= rest - 1 {
				b := bits.TrailingZeros64(rest)
				kept |= uint64(ok[codes[row+b-first]]) << b
			}
		}
		s.words[(row-s.base)/64] &^= word &^ kept
	})
}

// eachWord calls fn with the rows of the set from lo to hi-1, word by word: bit b
// stands for row+b.
func (s *rowset) eachWord(lo, hi int, fn func(row int, word uint64)) {
	lo, hi = max(lo-s.base, 0), min(hi-s.base, s.n)
	for i := lo / 64; i*64 < hi; i++ {
		word := s.words[i]
		if i*64 < lo {
			word &= ^uint64(0) << (lo % 64)
		}
		if i*64+64 > hi {
			word &= 1<<(hi%64) - 1
		}
		if word != 0 {
			fn(s.base+i*64, word)
		}
	}
}

// countIn returns how many of the rows lo to hi-1 are in the set.
func (s *rowset) countIn(lo, hi int) int {
	n := 0
	s.eachWord(lo, hi, func(_ int, word uint64) { n += bits.OnesCount64(word) })
	return n
}

// eachIn calls fn for every row of the set from lo to hi-1.
func (s *rowset) eachIn(lo, hi int, fn func(row int)) {
	s.eachWord(lo, hi, func(row int, word uint64) {
		for ; word != 0; word &= word - 1 {
			fn(row + bits.TrailingZeros64(word))
		}
	})
}

// tally counts the rows of the set from lo to hi-1 by code, or by what to makes of
// their codes if it is not nil.
func (s *rowset) tally(codes, to []uint32, counts []int64, lo, hi int) {
	s.eachWord(lo, hi, func(row int, word uint64) {
		codes := codes[row:min(row+64, len(codes))]
		switch {
		case word != ^uint64(0):
			for ; word != 0; word &= word - 1 {
				c := codes[bits.TrailingZeros64(word)]
				if to != nil {
					c = to[c]
				}
				counts[c]++
			}
		case to == nil:
			for _, c := range codes {
				counts[c]++
			}
		default:
			for _, c := range codes {
				counts[to[c]]++
			}
		}
	})
}

// each calls fn for every row in rising order, until it returns false.
func (s *rowset) each(fn func(row int) bool) {
	for i, word := range s.words {
		row := s.base + i*64
		for ; word != 0; word &= word - 1 {
			if !fn(row + bits.TrailingZeros64(word)) {
				return
			}
		}
	}
}

// eachBackward calls fn for every row in falling order, until it returns false.
func (s *rowset) eachBackward(fn func(row int) bool) {
	for i := len(s.words) - 1; i >= 0; i-- {
		row := s.base + i*64
		for word := s.words[i]; word != 0; {
			b := 63 - bits.LeadingZeros64(word)
			if !fn(row + b) {
				return
			}
			word &^= 1 << b
		}
	}
}

// rows returns the rows in rising order.
func (s *rowset) rows() []uint32 {
	rows := make([]uint32, 0, s.count())
	s.each(func(row int) bool {
		rows = append(rows, uint32(row))
		return true
	})
	return rows
}

// takeFirst removes the first k rows, or the last k, and returns them in that
// order.
func (s *rowset) takeFirst(k int, fromEnd bool) []uint32 {
	rows := make([]uint32, 0, k)
	take := func(row int) bool {
		if len(rows) == k {
			return false
		}
		rows = append(rows, uint32(row))
		return true
	}
	if fromEnd {
		s.eachBackward(take)
	} else {
		s.each(take)
	}
	for _, row := range rows {
		i := int(row) - s.base
		s.words[i/64] &^= 1 << (i % 64)
	}
	s.trim()
	return rows
}

// trim forgets empty words at either end.
func (s *rowset) trim() {
	for len(s.words) > 0 && s.words[0] == 0 {
		s.words = s.words[1:]
		s.base += 64
		s.n -= 64
	}
	for len(s.words) > 0 && s.words[len(s.words)-1] == 0 {
		s.words = s.words[:len(s.words)-1]
		s.n = len(s.words) * 64
	}
	s.n = max(s.n, 0)
}
