package parquet_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/store/column"
	"github.com/daybook-log/daybook/store/parquet"
)

// readAll reads a file in every way there is, and says what differs from es.
func readAll(t *testing.T, b []byte, info parquet.Info, es []event.Event) error {
	t.Helper()
	f, err := parquet.Open("damaged.parquet", bytes.NewReader(b), info, parquet.NewCache(1<<20))
	if err != nil {
		return err
	}
	for _, g := range f.RowGroups() {
		part := es[:g.Rows()]
		es = es[g.Rows():]
		var rows []uint32
		var ids []event.ID
		for i := range part {
			rows = append(rows, uint32(i))
			ids = append(ids, part[i].ID)
		}
		found := make(map[event.ID]uint32)
		if err := g.FindIDs(t.Context(), ids, func(row uint32) bool { found[part[row].ID] = row; return true }); err != nil {
			return err
		}
		for i := range part {
			if row, ok := found[part[i].ID]; !ok || row != uint32(i) {
				t.Fatalf("ID of row %d found in row %d (%t)", i, row, ok)
			}
			for f := event.UserID; f <= event.Metadata; f++ {
				if may, err := g.MayContain(f, part[i].Text(f)); err != nil {
					return err
				} else if !may {
					t.Fatalf("%s of row %d cannot be there", f, i)
				}
			}
		}
		for _, read := range []func() (*column.Rows, error){
			func() (*column.Rows, error) { return g.Gather(t.Context(), rows, event.AllFields) },
			func() (*column.Rows, error) { return g.All(t.Context()) },
		} {
			r, err := read()
			if err != nil {
				return err
			}
			same(t, eventsOf(r), part)
		}
	}
	return nil
}

// Whichever bit of a file flips, Verify says so, and a reader that does not
// verify first either says so or reads what was written.
func TestEveryFlippedBit(t *testing.T) {
	es := realistic(60, 7)
	es[5].Changes = `[{"new":1,"old":2,"path":"a"}]`
	b, info := write(t, columns(es[:50]), columns(es[50:]))
	const step = 7 // each pass another bit of a byte; all together would take minutes
	for i := 0; i < len(b); i += step {
		flipped := slices.Clone(b)
		flipped[i] ^= 1 << (i % 8)
		var damage *parquet.DamageError
		f, err := parquet.Open("damaged.parquet", bytes.NewReader(flipped), info, nil)
		if err == nil {
			err = f.Verify(t.Context())
		}
		if !errors.As(err, &damage) || damage.File != "damaged.parquet" {
			t.Errorf("byte %d of %d: Verify gives %v", i, len(b), err)
		}
		if err := readAll(t, flipped, info, es); err != nil && !errors.As(err, &damage) {
			t.Errorf("byte %d of %d: %v", i, len(b), err)
		}
		if t.Failed() {
			return
		}
	}
}

func TestNotTheFileOnRecord(t *testing.T) {
	es := realistic(500, 8)
	b, info := write(t, columns(es))
	other, otherInfo := write(t, columns(realistic(500, 9)))
	for _, c := range []struct {
		name string
		b    []byte
		info parquet.Info
	}{
		{"empty", nil, info},
		{"a byte short", b[:len(b)-1], info},
		{"half", b[:len(b)/2], info},
		{"another file", other, info},
		{"another file's record", b, otherInfo},
		{"more rows on record", b, parquet.Info{Size: info.Size, Rows: info.Rows + 1, TailOff: info.TailOff, TailCRC: info.TailCRC}},
		{"another tail on record", b, parquet.Info{Size: info.Size, Rows: info.Rows, TailOff: info.TailOff + 1, TailCRC: info.TailCRC}},
		{"no record", b, parquet.Info{}},
		{"a huge size on record", b, parquet.Info{Size: 1 << 60, Rows: info.Rows, TailOff: 4}},
		{"text", []byte("this is no Parquet file at all"), parquet.Info{Size: 30, TailOff: 4}},
	} {
		var damage *parquet.DamageError
		if _, err := parquet.Open(c.name, bytes.NewReader(c.b), c.info, nil); !errors.As(err, &damage) || damage.File != c.name {
			t.Errorf("%s: error %v", c.name, err)
		}
	}
}

// An error of the disk is not damage, and is the caller's to judge.
type brokenDisk struct{ *bytes.Reader }

var errDisk = errors.New("input/output error")

func (brokenDisk) ReadAt([]byte, int64) (int, error) { return 0, errDisk }

func TestReadError(t *testing.T) {
	b, info := write(t, columns(realistic(10, 1)))
	var damage *parquet.DamageError
	_, err := parquet.Open("x", brokenDisk{bytes.NewReader(b)}, info, nil)
	if !errors.Is(err, errDisk) || errors.As(err, &damage) {
		t.Errorf("error %v", err)
	}
}
