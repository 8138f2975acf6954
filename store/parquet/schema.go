package parquet

import (
	"fmt"

	"github.com/parquet-go/parquet-go/deprecated"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"github.com/daybook-log/daybook/event"
)

// numColumns is how many leaf columns a file that is written has: one per field
// of the event, column i being event.Field(i).
const numColumns = int(event.NumFields)

// required reports whether every row has field f.
func required(f event.Field) bool { return !f.IsText() }

// hasBloom reports whether f gets a bloom filter: the fields by which people
// look for single events among many.
func hasBloom(f event.Field) bool {
	switch f {
	case event.EventID, event.UserID, event.Resource, event.SourceIP, event.SessionID,
		event.RequestID, event.TraceID, event.CorrelationID:
		return true
	}
	return false
}

// physicalType returns how the values of f are stored.
func physicalType(f event.Field) format.Type {
	switch f.Info().Kind {
	case event.KindID:
		return format.FixedLenByteArray
	case event.KindTime:
		return format.Int64
	case event.KindInt:
		if f == event.Partition {
			return format.Int32
		}
		return format.Int64
	}
	return format.ByteArray
}

// schemaElement describes field f to other tools. Its id is f's number plus one,
// since some tools take 0 for "none".
func schemaElement(f event.Field) format.SchemaElement {
	e := format.SchemaElement{
		Name:           f.String(),
		Type:           thrift.New(physicalType(f)),
		RepetitionType: thrift.New(format.Optional),
		FieldID:        int32(f) + 1,
	}
	if required(f) {
		e.RepetitionType = thrift.New(format.Required)
	}
	switch f.Info().Kind {
	case event.KindID:
		e.TypeLength = thrift.New(int32(len(event.ID{})))
		e.LogicalType.Value = &format.UUIDType{}
	case event.KindTime:
		e.LogicalType.Value = &format.TimestampType{
			IsAdjustedToUTC: true,
			Unit:            format.TimeUnit{Value: &format.NanoSeconds{}},
		}
	case event.KindJSON:
		e.ConvertedType = thrift.New(deprecated.Json)
		e.LogicalType.Value = &format.JsonType{}
	case event.KindText, event.KindEnum, event.KindAddr:
		e.ConvertedType = thrift.New(deprecated.UTF8)
		e.LogicalType.Value = &format.StringType{}
	}
	return e
}

// schema returns the schema of every file that is written.
func schema() []format.SchemaElement {
	s := []format.SchemaElement{{Name: "event", NumChildren: thrift.New(int32(numColumns))}}
	for f := range event.NumFields {
		s = append(s, schemaElement(f))
	}
	return s
}

// columnOrders says that minima and maxima follow the order of each type.
func columnOrders() []format.ColumnOrder {
	orders := make([]format.ColumnOrder, numColumns)
	for i := range orders {
		orders[i].Value = &format.TypeDefinedOrder{}
	}
	return orders
}

// columnsOf returns the field of each leaf column of a file, NumFields for a
// column that this version does not know. A file of another version may have
// more or fewer columns; those it has must be of the type they have here.
func columnsOf(s []format.SchemaElement) ([]event.Field, error) {
	if len(s) == 0 || int(s[0].NumChildren.V) != len(s)-1 {
		return nil, fmt.Errorf("schema is not a flat list of columns")
	}
	fields := make([]event.Field, len(s)-1)
	var seen event.FieldSet
	for i, e := range s[1:] {
		f, known := event.FieldByName(e.Name)
		fields[i] = f
		if !known {
			continue
		}
		want := schemaElement(f)
		if seen.Has(f) || e.Type != want.Type || e.RepetitionType != want.RepetitionType || e.TypeLength != want.TypeLength {
			return nil, fmt.Errorf("column %s is twice there or of another type", e.Name)
		}
		seen |= event.Fields(f)
	}
	for f := range event.NumFields {
		if required(f) && !seen.Has(f) {
			return nil, fmt.Errorf("column %s is missing", f)
		}
	}
	return fields, nil
}
