package segment

import (
	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/filter"
	"github.com/daybook-log/daybook/store/column"
)

// narrowFreeText looks through one text field after the other, but for those that
// are hidden from the reader. Filters of pieces and joined values may hold what is
// hidden inside a field: they only rule out, and t.Match decides.
func (e *evaluator) narrowFreeText(t *filter.Text, set *rowset) error {
	left, hits := e.words(set), e.words(set)
	defer e.recycle(left, hits)
	copy(left, set.words)
	fields := filter.Fields(t)
	for f := event.UserID; f <= event.Metadata; f++ {
		if !fields.Has(f) {
			continue
		}
		if has, err := e.src.has(f); err != nil {
			return err
		} else if !has {
			continue
		}
		copy(hits, left)
		h := rowset{set.base, set.n, hits}
		if h.empty() {
			break
		}
		m := matcher{t.Piece(f), func(v string) bool { return t.Match(f, v) }, func(joined string) bool { return t.MayMatch(f, joined) }}
		if err := e.narrowText(f, m, &h); err != nil {
			return err
		}
		for i, w := range hits {
			left[i] &^= w
		}
	}
	set.subtract(left)
	return nil
}

// matcher says which values of a text field a leaf wants.
type matcher struct {
	piece string // every value that matches contains it, in some case
	match func(v string) bool
	// may is false only when match is false for each of several values, given in
	// one piece. Most texts looked for are nowhere in a piece: that is found out
	// at the speed of memory.
	may func(joined string) bool
}

// narrowText keeps the rows whose value of f m accepts. It accepts no "".
func (e *evaluator) narrowText(f event.Field, m matcher, set *rowset) error {
	if err := e.ctx.Err(); err != nil {
		return err
	}
	mask, size, err := e.src.parts(f, m.piece)
	if err != nil {
		return err
	}
	if mask != ^uint64(0) {
		if set.keepParts(mask, size); set.empty() {
			return nil
		}
	}
	dict, err := e.src.dict(f)
	if err != nil {
		return err
	}
	if dict != nil && !m.may(dict.Joined(0, dict.Len())) {
		set.clear()
		return nil
	}
	var ok []uint8 // by code, when the whole dictionary is worth looking at
	if dict != nil && dict.Len() <= set.count() {
		ok = make([]uint8, dict.Len()+1)
		any := false
		for c := range dict.Len() {
			if m.match(dict.At(c)) {
				ok[c+1] = 1
				any = true
			}
		}
		if !any {
			set.clear()
			return nil
		}
	}
	if ok != nil && e.texts[f] == nil {
		any := func(first, end int) bool { return set.countIn(first, end) > 0 }
		keep := func(first int, codes []uint32) { set.keepCodes(first, codes, ok) }
		if done, err := e.src.eachCodes(e.ctx, f, any, keep); done || err != nil {
			return err
		}
	}
	if e.texts[f] == nil && 2*set.count() <= e.src.extent().rows {
		if done, err := e.narrowPages(f, m, set); done || err != nil {
			return err
		}
	}
	t, err := e.text(f)
	switch {
	case err != nil:
		return err
	case t.Absent():
		set.clear()
	case t.Codes != nil && ok != nil:
		set.keepCodes(0, t.Codes, ok)
	case t.Codes != nil:
		set.keep(func(row int) bool { c := t.Codes[row]; return c != 0 && m.match(t.Dict.At(int(c)-1)) })
	case t.Dict != nil:
		if !m.match(t.Dict.At(0)) {
			set.clear()
		}
	default:
		set.keepRuns(func(from, to int) bool { return m.may(t.Plain.Joined(from, to)) })
		set.keep(func(row int) bool { return m.match(t.Plain.At(row)) })
	}
	return nil
}

// narrowPages is narrowText for a plain column of which it reads the pages that
// have candidates, and keeps nothing. It returns false for another column.
func (e *evaluator) narrowPages(f event.Field, m matcher, set *rowset) (bool, error) {
	any := func(first, end int) bool { return set.countIn(first, end) > 0 }
	return e.src.eachStrings(e.ctx, f, any, func(first int, values *column.Strings) {
		may := m.may(values.Joined(0, values.Len()))
		set.keepIn(first, first+values.Len(), func(row int) bool { return may && m.match(values.At(row-first)) })
	})
}
