package parquet_test

import (
	"bytes"
	"errors"
	"hash/crc32"
	"testing"

	"github.com/daybook-log/daybook/event"
	"github.com/daybook-log/daybook/store/parquet"
)

// Whatever a file holds, reading it ends with its rows or a DamageError: no
// panic, and no memory beyond what the file's size allows. The tail's checksum is
// made right, as if the record had been made of this file.
func FuzzOpen(f *testing.F) {
	for _, n := range []int{0, 1, 40} {
		var b bytes.Buffer
		w := parquet.NewWriter(&b)
		if n > 0 {
			if err := w.WriteRowGroup(columns(realistic(n, 1))); err != nil {
				f.Fatal(err)
			}
		}
		info, err := w.Close()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes(), info.TailOff, info.Rows)
	}
	f.Fuzz(func(t *testing.T, b []byte, tailOff, rows int64) {
		info := parquet.Info{Size: int64(len(b)), Rows: rows, TailOff: tailOff}
		if tailOff >= 0 && tailOff < int64(len(b)) {
			info.TailCRC = crc32.Checksum(b[tailOff:], crc32.MakeTable(crc32.Castagnoli))
		}
		var damage *parquet.DamageError
		if _, err := parquet.Inspect("fuzz", bytes.NewReader(b), int64(len(b))); err != nil && !errors.As(err, &damage) {
			t.Fatal(err)
		}
		file, err := parquet.Open("fuzz", bytes.NewReader(b), info, parquet.NewCache(1<<20))
		if err == nil {
			err = file.Verify(t.Context())
		}
		if err != nil && !errors.As(err, &damage) {
			t.Fatal(err)
		}
		if file == nil {
			return
		}
		for _, g := range file.RowGroups() {
			_, allErr := g.All(t.Context())
			_, gatherErr := g.Gather(t.Context(), []uint32{0, uint32(g.Rows() - 1)}, event.AllFields)
			_, bloomErr := g.MayContain(event.UserID, "user-00001")
			_, gramsErr := g.Parts(event.RequestID, "user-00001")
			findErr := g.FindIDs(t.Context(), make([]event.ID, 1), func(uint32) bool { return true })
			for _, err := range []error{allErr, gatherErr, bloomErr, gramsErr, findErr} {
				if err != nil && !errors.As(err, &damage) {
					t.Fatal(err)
				}
			}
		}
	})
}
