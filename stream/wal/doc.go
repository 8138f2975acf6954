// Package wal is the embedded log: one partition of the stream, in segment files
// in one folder of the local disk.
//
// # Promises
//
// What Append has returned for is on the disk: written, fsync'd, and named by a
// folder that was synced too. Records are read in the order of their offsets,
// which have no holes and are never used twice. Readers and End see durable
// records only. After a crash every acknowledged record is there once; a record
// that was never acknowledged may be there too, if it was appended before the
// crash. A failed fsync fails the log for good. Damage is never skipped and
// never guessed at: it is an error that names the file and the byte.
//
// # Group commit
//
// The log has no goroutine and no timer. The first publisher to find no group
// open opens one and leads it: it waits for the commit before its own to end,
// closes the group, writes it with one write and one fsync, and wakes the rest.
// So a lone publisher waits for one fsync and nothing more, and all who come
// during an fsync share the next. A large batch is compressed by its own
// publisher while it waits for its turn; small ones are merged into one frame
// by the leader.
//
// # Segment file
//
// A segment is named by the offset of its first record, in twenty digits, and
// ".wal". All integers are little-endian; CRC is CRC-32C (Castagnoli). A segment
// header is followed by frames without a gap.
//
//	Segment header, 32 bytes
//	 0   8  magic 89 'D' 'B' 'K' 'W' 'A' 'L' 0A
//	 8   4  version, 1
//	12   4  zero
//	16   8  offset of the first record, as in the name
//	24   4  zero
//	28   4  CRC of bytes 0–27
//
//	Frame header, 56 bytes
//	 0   4  magic F7 'D' 'B' 'F'
//	 4   4  position of this frame in the file
//	 8   4  position of the first frame of its group
//	12   4  number of records; 0 makes it a mark
//	16   8  offset of the first record
//	24   8  received_at of the records, ns since the Unix epoch; never falls
//	32   4  length of the record lengths
//	36   4  length of the data as stored
//	40   4  length of the data uncompressed
//	44   1  codec of the data: 0 none, 1 S2 block
//	45   3  zero
//	48   4  CRC of the payload
//	52   4  CRC of bytes 0–51
//
//	Payload
//	         the length of each record, as unsigned varints
//	         the records one after the other, by the codec
//
// A mark has no payload. It ends a segment that another follows, and is written
// by Close; its offset is that of the record to come.
//
// # Identity
//
// A log is made with a random identity, which it keeps. It stands in the file ID:
//
//	 0  14  "daybook-log 1 ": 1 is the version
//	14  16  the identity, in lower-case hexadecimal digits
//	30   1  space
//	31  16  the identity again, so that damage shows and a person can write it
//	47   1  newline
//
// The file is written as ID.tmp, synced, renamed, and its folder synced, before
// the first segment is made. A folder without any segment is no log yet: Open
// makes one, with another identity, whatever was in ID. A log from before there
// were identities gets one when it is opened.
//
// # Recovery
//
// A group is one write, and the next group is written only after its fsync. So
// of all groups in the log only the last may be unsynced, and a crash can leave
// any of its sectors on the disk and any other not: a whole frame may follow a
// torn one. A frame therefore says where its group began. When Open meets
// something at byte p of the last segment that is no frame, it looks for frame
// headers after p:
//
//   - none, or only of groups that began at or before p: no group followed the
//     one that p lies in, so nothing shows that it was ever synced. It is the
//     tail that a crash tore: it is cut off at p, the cut is synced, and logged.
//   - one of a group that began after p: the bytes at p had been synced and
//     acknowledged before that group was written, and were damaged since.
//     Open refuses.
//
// Rot in the last group of a log that was not closed is cut off, too. It seldom
// looks like a torn write: where a piece of that did not reach the disk, the file
// ends, or zeros begin or end at the border of a sector. When neither is the case,
// what is cut off is kept beside the segment, as NAME.wal.POSITION.cut, and logged
// as an error; Check tells of the file until somebody removes it.
//
// What is left is readable, yet its last group need not be on the disk: the
// process was killed before its fsync, or the fsync failed, and then the kernel
// counts the bytes as written and a later fsync leaves them out. Open therefore
// writes that group again, in place and with the same bytes, and syncs it before
// it serves it: what was read once is not lost in the next crash, and what comes
// behind it does not follow a hole.
//
// The mark that Close writes is a group of its own, so once a log was closed
// even its last group cannot be damaged unnoticed. In every segment but the last
// whatever is no frame is damage: a segment is marked and synced before the next
// is made. Before that its header is synced alone, so a last segment without a
// header holds nothing.
//
// Frame headers carry their position, so bytes of another place or file are not
// taken for a frame, and the first byte of the magic occurs in no UTF-8 text, so
// no publisher can write a record that reads as one.
package wal
