// Package redact takes secrets out of an event before it reaches the stream. What
// it takes out is nowhere then: not in the stream, not in the store, not in a
// backup.
//
// # The marker
//
// In place of a value stands a string that tells that there was one:
//
//	[redacted]                    [Mask]
//	[redacted:mfzwizltoq2gk3tu]   [HMAC]
//
// The 16 characters are the first 10 bytes, in lower-case base32 (RFC 4648), of
//
//	HMAC-SHA-256(secret, tenant_id 0x00 value)
//
// where value is the text of a string, or a number as it stands in canonical JSON.
// So equal values of one tenant have equal markers wherever they stand, and who
// does not have the secret can neither turn a marker back nor test a guess. The
// tenant is part of it because who may publish can have markers made of guesses;
// they are of no use against another tenant's.
//
// A value that is a marker already, of either method, stays. So redaction is
// idempotent: an event that is sent again, exported and imported, or replayed has
// the same bytes. So does a value that the source has hashed with a key
// (hmac-sha256: and 64 hexadecimal digits, as Vault and OpenBao write it): it is no
// secret, and its source can be asked for it.
//
// # What is redacted
//
// A key is compared without case, '-', '_' and '.': X-Api-Key is api_key's x_api_key.
// A key is equal to a secret key or it is not: token_type and next_token are not
// token. There are two kinds ([DefaultKeys]):
//
//   - Of most keys, password say, everything below is secret: strings and numbers
//     at any depth are replaced, keys and the shape stay.
//   - Of a few, such as authorization and secret, only a string or number, or those in
//     an array, is. Logs use the same name for an object that describes: Azure has
//     the permission under authorization, CloudTrail the access key's id under
//     credentials, Kubernetes the name of a secret under secret. The members of such
//     an object are judged by their own keys.
//
// true, false, null and the empty string tell no secret and stay.
//
// An element of changes whose path ends in a secret key (user.password,
// /user/password, passwords[0].password) has it in old and new.
//
// A field that [Options].Fields names is replaced whole, a path into metadata or
// changes with everything below it. Patterns replace the part of a string that
// matches, in labels, metadata, changes and the fields that are text for people:
// reason, user_agent, user_name, resource_name. They never look into what events
// are found, joined and kept apart by (user_id, tenant_id, action, request_id …).
//
// # What stays as it was
//
// Keys, their order, and the number of elements do not change, so changes, labels
// and metadata stay canonical, and no value grows beyond its field's limit: where
// the part-replaced value would, one marker stands for all of it. The event as a
// whole may grow, because a marker of 10 or 27 bytes may be longer than what it
// stands for; one near [event.MaxSize] may then be too large, and is refused.
//
// # Speed
//
// Nearly all events hold no secret key, and to see that takes one pass over the
// JSON, eight bytes at a time, for the quotes that end keys; from there keys are
// read backwards along a trie of the secret ones, mostly for two or three bytes. It
// allocates nothing. Only an event in which something may have to be replaced is
// parsed.
package redact
