package index

// CheckLetter returns why a record of the dead-letter stream can be neither a
// letter nor the resolution of one, or nil. [OpenDeadLetters] refuses such a one.
func CheckLetter(record []byte) error {
	_, err := decodeEntry(record)
	return err
}
