// Package session keeps who is logged in to the console. A [Store] gives each
// login a random id of 256 bits, which only the browser's cookie holds: in
// memory there is its hash. A [Gate] limits how often somebody may try.
//
//	id, s := store.Begin(token, "console:ana")
//	s, ok := store.Find(id, token)      // with the token of now
//	if !s.Allows(form) { ... not from our own page }
//
// A session ends after [Life], with [Store.End], and when the token that it
// was begun with is no longer the token.
package session

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"sync"
	"time"
)

// Bounds of sessions.
const (
	Life = 12 * time.Hour
	Most = 100 // at a time; the oldest gives way
)

// Session is one login. Actor and CSRF do not change.
type Session struct {
	Actor string // "console", or "console:<name>"
	CSRF  string // goes into every form of this session

	begun time.Time
	token [sha256.Size]byte

	mu    sync.Mutex
	flash string
}

// Allows reports whether a form carries this session's CSRF token, in a time
// that does not depend on what it carries.
func (s *Session) Allows(given string) bool {
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(s.CSRF))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// Tell keeps a word for the next page.
func (s *Session) Tell(word string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flash = word
}

// Told gives the word that was kept, once.
func (s *Session) Told() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	word := s.flash
	s.flash = ""
	return word
}

// Store keeps sessions in memory: a restart ends them all. It is safe for
// concurrent use.
type Store struct {
	mu  sync.Mutex
	all map[[sha256.Size]byte]*Session
}

// NewStore gives an empty store.
func NewStore() *Store { return &Store{all: map[[sha256.Size]byte]*Session{}} }

// Begin makes a session for who showed the token, under an id that nobody has
// seen before.
func (st *Store) Begin(token, actor string) (id string, s *Session) {
	id = secret()
	s = &Session{Actor: actor, CSRF: secret(), begun: time.Now(), token: sha256.Sum256([]byte(token))}
	st.mu.Lock()
	defer st.mu.Unlock()
	st.makeRoom()
	st.all[sha256.Sum256([]byte(id))] = s
	return id, s
}

// makeRoom drops what is over, and the oldest when there are still too many.
func (st *Store) makeRoom() {
	var oldest [sha256.Size]byte
	var begun time.Time
	for key, s := range st.all {
		if time.Since(s.begun) >= Life {
			delete(st.all, key)
			continue
		}
		if begun.IsZero() || s.begun.Before(begun) {
			oldest, begun = key, s.begun
		}
	}
	if len(st.all) >= Most {
		delete(st.all, oldest)
	}
}

// Find gives the session of an id if it is not over and was begun with the
// token, which is the one in force now.
func (st *Store) Find(id, token string) (*Session, bool) {
	if id == "" || token == "" {
		return nil, false
	}
	key, now := sha256.Sum256([]byte(id)), sha256.Sum256([]byte(token))
	st.mu.Lock()
	defer st.mu.Unlock()
	s := st.all[key]
	if s == nil {
		return nil, false
	}
	if time.Since(s.begun) >= Life || subtle.ConstantTimeCompare(s.token[:], now[:]) != 1 {
		delete(st.all, key)
		return nil, false
	}
	return s, true
}

// End ends the session of an id, if there is one.
func (st *Store) End(id string) {
	st.mu.Lock()
	defer st.mu.Unlock()
	delete(st.all, sha256.Sum256([]byte(id)))
}

func secret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // it never fails: it ends the program instead
	return hex.EncodeToString(b[:])
}
