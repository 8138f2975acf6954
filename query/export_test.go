package query

// SetTailStep makes the tails of e take steps of n positions.
func (e *Engine) SetTailStep(n int64) { e.step = n }
