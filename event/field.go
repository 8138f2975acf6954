package event

import "encoding/binary"

// Field names one field of an event. The order is the order in which fields
// are written for people: the five that every audit log has come first.
type Field uint8

// The fields of an event.
const (
	EventID Field = iota
	Timestamp
	UserID
	Action
	Resource
	TenantID
	Outcome
	Operation
	Source
	UserType
	UserName
	OnBehalfOf
	ResourceName
	SourceIP
	UserAgent
	SessionID
	RequestID
	TraceID
	CorrelationID
	ErrorCode
	Reason
	Changes
	Labels
	Metadata
	ReceivedAt
	Partition
	Offset
	NumFields // how many there are; no field itself
)

// Kind is the shape of a field's value.
type Kind uint8

// The kinds of field.
const (
	KindID   Kind = iota // a UUID
	KindTime             // ns since the Unix epoch
	KindText             // a string
	KindEnum             // a string out of Values
	KindAddr             // a string that is an IP address
	KindJSON             // a JSON document: changes, labels, metadata
	KindInt              // an integer that Daybook sets
)

// Info describes a field. The table below is the one place that a field is
// described in: decoder, store, filter language, CSV header and documentation
// read it.
type Info struct {
	Name     string
	Kind     Kind
	MaxBytes int      // longest value in bytes; 0: bounded by MaxSize alone
	Required bool     // a publisher must send it
	Set      bool     // Daybook sets it: a publisher may not
	Default  string   // value when absent
	Values   []string // KindEnum: what is accepted
}

var fields = [NumFields]Info{
	EventID:       {Name: "event_id", Kind: KindID},
	Timestamp:     {Name: "timestamp", Kind: KindTime},
	UserID:        {Name: "user_id", Kind: KindText, MaxBytes: 256, Required: true},
	Action:        {Name: "action", Kind: KindText, MaxBytes: 256, Required: true},
	Resource:      {Name: "resource", Kind: KindText, MaxBytes: 1024, Required: true},
	TenantID:      {Name: "tenant_id", Kind: KindText, MaxBytes: 128, Default: DefaultTenant},
	Outcome:       {Name: "outcome", Kind: KindEnum, Default: DefaultOutcome, Values: []string{"success", "failure", "denied", "unknown"}},
	Operation:     {Name: "operation", Kind: KindEnum, Default: DefaultOperation, Values: []string{"create", "read", "update", "delete", "login", "other"}},
	Source:        {Name: "source", Kind: KindText, MaxBytes: 256},
	UserType:      {Name: "user_type", Kind: KindEnum, Default: DefaultUserType, Values: []string{"user", "service", "api_key", "agent", "system", "anonymous"}},
	UserName:      {Name: "user_name", Kind: KindText, MaxBytes: 256},
	OnBehalfOf:    {Name: "on_behalf_of", Kind: KindText, MaxBytes: 256},
	ResourceName:  {Name: "resource_name", Kind: KindText, MaxBytes: 1024},
	SourceIP:      {Name: "source_ip", Kind: KindAddr, MaxBytes: 64},
	UserAgent:     {Name: "user_agent", Kind: KindText, MaxBytes: 2048},
	SessionID:     {Name: "session_id", Kind: KindText, MaxBytes: 256},
	RequestID:     {Name: "request_id", Kind: KindText, MaxBytes: 256},
	TraceID:       {Name: "trace_id", Kind: KindText, MaxBytes: 256},
	CorrelationID: {Name: "correlation_id", Kind: KindText, MaxBytes: 256},
	ErrorCode:     {Name: "error_code", Kind: KindText, MaxBytes: 256},
	Reason:        {Name: "reason", Kind: KindText, MaxBytes: 4096},
	Changes:       {Name: "changes", Kind: KindJSON},
	Labels:        {Name: "labels", Kind: KindJSON},
	Metadata:      {Name: "metadata", Kind: KindJSON},
	ReceivedAt:    {Name: "received_at", Kind: KindTime, Set: true},
	Partition:     {Name: "partition", Kind: KindInt, Set: true},
	Offset:        {Name: "offset", Kind: KindInt, Set: true},
}

// Info returns the description of f.
func (f Field) Info() *Info { return &fields[f] }

// String returns the name of f as it stands in an event.
func (f Field) String() string {
	if f < NumFields {
		return fields[f].Name
	}
	return "field?"
}

// IsText reports whether f is held as a string: text, enumeration, address or JSON.
func (f Field) IsText() bool { return f >= UserID && f <= Metadata }

// FieldByName returns the field called name.
func FieldByName(name string) (Field, bool) { return fieldNamed(bytesOf(name)) }

// fieldNamed is FieldByName, by one multiplication and one comparison.
func fieldNamed(name []byte) (Field, bool) {
	if len(name) < minName || len(name) > maxName {
		return NumFields, false
	}
	f := nameTable.slots[nameHash(name, nameTable.factor)]
	if f < NumFields && string(name) == fields[f].Name {
		return f, true
	}
	return NumFields, false
}

const minName, maxName = 6, 14 // bytes of the shortest and longest field name

// nameHash is a number below 128 that depends on the first and last four bytes.
func nameHash(name []byte, factor uint64) uint64 {
	head := binary.LittleEndian.Uint32(name)
	tail := binary.LittleEndian.Uint32(name[len(name)-4:])
	return (uint64(head) | uint64(tail)<<32) * factor >> 57
}

// nameTable is a perfect hash of the field names: with its factor no two of them
// share a slot.
var nameTable = func() (t struct {
	factor uint64
	slots  [128]Field
}) {
search:
	for t.factor = 0x9e3779b97f4a7c15; ; t.factor = t.factor*0xd1342543de82ef95 + 1 | 1 {
		for i := range t.slots {
			t.slots[i] = NumFields
		}
		for f := range NumFields {
			slot := &t.slots[nameHash([]byte(fields[f].Name), t.factor)]
			if *slot != NumFields {
				continue search
			}
			*slot = f
		}
		return t
	}
}()

// FieldSet is a set of fields.
type FieldSet uint32

// AllFields is the set of every field.
const AllFields FieldSet = 1<<NumFields - 1

// Fields returns the set of the given fields.
func Fields(fs ...Field) FieldSet {
	var s FieldSet
	for _, f := range fs {
		s |= 1 << f
	}
	return s
}

// Has reports whether f is in s.
func (s FieldSet) Has(f Field) bool { return s&(1<<f) != 0 }
