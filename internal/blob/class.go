package blob

// Class says what a bucket's conditional writes are worth. A bucket earns its
// class by being tried (package qualify); what a vendor says does not count.
type Class string

// The classes, from replica-protocol: what a tag identifies.
const (
	ClassUnknown Class = ""        // not tried yet
	ClassBodies  Class = "bodies"  // no conditional writes to rely on: holds bodies, never heads
	ClassContent Class = "content" // tag = fingerprint of the bytes: safe where bytes never repeat
	ClassUnique  Class = "unique"  // tag = new for every write
)

// Heads says whether a bucket of the class may hold heads.
func (c Class) Heads() bool { return c == ClassContent || c == ClassUnique }
