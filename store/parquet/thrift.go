package parquet

import (
	"encoding/binary"
	"errors"

	"github.com/parquet-go/parquet-go/encoding/thrift"
)

var errThrift = errors.New("metadata is not Thrift")

// unmarshal decodes Thrift metadata. The decoder makes a list as long as the
// bytes say before it reads its elements, so they are walked first: a list has
// no more elements than there are bytes left.
func unmarshal(b []byte, v any) error {
	w := thriftWalker{b: b}
	if !w.structure(0) || len(w.b) != 0 {
		return errThrift
	}
	return thrift.Unmarshal(new(thrift.CompactProtocol), b, v)
}

// thriftWalker walks over a value of the compact protocol.
type thriftWalker struct{ b []byte }

const maxThriftDepth = 16

func (w *thriftWalker) skip(n uint64) bool {
	if n > uint64(len(w.b)) {
		return false
	}
	w.b = w.b[n:]
	return true
}

func (w *thriftWalker) uvarint() (uint64, bool) {
	v, k := binary.Uvarint(w.b)
	return v, k > 0 && w.skip(uint64(k))
}

func (w *thriftWalker) structure(depth int) bool {
	for depth < maxThriftDepth && len(w.b) > 0 {
		head := w.b[0]
		w.b = w.b[1:]
		if head == byte(thrift.STOP) {
			return true
		}
		if head>>4 == 0 {
			if _, ok := w.uvarint(); !ok {
				return false
			}
		}
		kind := thrift.Type(head & 15)
		if kind != thrift.TRUE && kind != thrift.FALSE && !w.value(kind, depth+1) { // a bool's value is its type
			return false
		}
	}
	return false
}

func (w *thriftWalker) value(kind thrift.Type, depth int) bool {
	switch kind {
	case thrift.TRUE, thrift.FALSE, thrift.I8:
		return w.skip(1)
	case thrift.I16, thrift.I32, thrift.I64:
		_, ok := w.uvarint()
		return ok
	case thrift.DOUBLE:
		return w.skip(8)
	case thrift.BINARY:
		n, ok := w.uvarint()
		return ok && w.skip(n)
	case thrift.LIST:
		return w.list(depth)
	case thrift.STRUCT:
		return w.structure(depth)
	}
	return false // sets and maps: Parquet has none
}

func (w *thriftWalker) list(depth int) bool {
	if len(w.b) == 0 {
		return false
	}
	n, kind := uint64(w.b[0]>>4), thrift.Type(w.b[0]&15)
	w.b = w.b[1:]
	if n == 15 {
		var ok bool
		if n, ok = w.uvarint(); !ok {
			return false
		}
	}
	if n > uint64(len(w.b)) {
		return false
	}
	for range n {
		if !w.value(kind, depth) {
			return false
		}
	}
	return true
}
