package session_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sparecloud/spare/internal/web/session"
)

const token = "0123456789abcdef0123456789abcdef"

func TestASessionIsFoundByItsIDAlone(t *testing.T) {
	st := session.NewStore()
	id, s := st.Begin(token, "console:ana")
	if len(id) != 64 || len(s.CSRF) != 64 || id == s.CSRF {
		t.Errorf("id %q, csrf %q", id, s.CSRF)
	}
	for _, tt := range []struct {
		id, token string
		want      bool
	}{
		{id, token, true}, {"", token, false}, {s.CSRF, token, false}, {id[:63], token, false}, {id + "0", token, false},
	} {
		if got, ok := st.Find(tt.id, tt.token); ok != tt.want || (ok && got != s) {
			t.Errorf("Find(%q, %q) = %v", tt.id, tt.token, ok)
		}
	}
	other, _ := st.Begin(token, "console:ana")
	if other == id {
		t.Error("two logins have one id")
	}
	st.End(id)
	if _, ok := st.Find(id, token); ok {
		t.Error("found after its end")
	}
	if _, ok := st.Find(other, token); !ok {
		t.Error("another's end ended it")
	}
}

func TestAnotherTokenEndsSessions(t *testing.T) {
	for _, now := range []string{"", "another"} {
		st := session.NewStore()
		id, _ := st.Begin(token, "console")
		if _, ok := st.Find(id, now); ok {
			t.Errorf("found with token %q", now)
		}
	}
	st := session.NewStore()
	id, _ := st.Begin(token, "console")
	st.Find(id, "another")
	if _, ok := st.Find(id, token); ok {
		t.Error("back with the old token")
	}
}

func TestASessionEndsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := session.NewStore()
		id, _ := st.Begin(token, "console")
		time.Sleep(session.Life - time.Second)
		if _, ok := st.Find(id, token); !ok {
			t.Error("over too early")
		}
		time.Sleep(time.Second)
		if _, ok := st.Find(id, token); ok {
			t.Error("use has prolonged it")
		}
	})
}

func TestTheOldestSessionGivesWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := session.NewStore()
		var ids []string
		for range session.Most + 1 {
			id, _ := st.Begin(token, "console")
			ids = append(ids, id)
			time.Sleep(time.Second)
		}
		for i, id := range ids {
			if _, ok := st.Find(id, token); ok != (i > 0) {
				t.Errorf("session %d: %v", i, ok)
			}
		}
	})
}

func TestFormsNeedTheirOwnSessionsToken(t *testing.T) {
	st := session.NewStore()
	_, a := st.Begin(token, "console")
	_, b := st.Begin(token, "console")
	if !a.Allows(a.CSRF) || a.Allows(b.CSRF) || a.Allows("") || a.Allows(a.CSRF+"x") {
		t.Error("csrf tokens are not told apart")
	}
}

func TestAWordIsToldOnce(t *testing.T) {
	_, s := session.NewStore().Begin(token, "console")
	s.Tell("done")
	if a, b := s.Told(), s.Told(); a != "done" || b != "" {
		t.Errorf("%q, then %q", a, b)
	}
}

func TestFailuresAreLimitedByAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := session.NewGate()
		tries := func(addr string) (n int) {
			for g.Wait(addr) == 0 && n < 100 {
				g.Failed(addr)
				n++
			}
			return n
		}
		for _, tt := range []struct {
			addr string
			want int
		}{
			{"192.0.2.1:1", 5}, {"192.0.2.1:2", 0}, {"192.0.2.2:1", 5},
			{"[2001:db8::1]:1", 5}, {"[2001:db8::2]:1", 0}, {"[2001:db8:0:1::1]:1", 5},
			{"[::ffff:192.0.2.1]:1", 0}, {"odd", 5}, {"odder", 0},
		} {
			if n := tries(tt.addr); n != tt.want {
				t.Errorf("%s could try %d times, want %d", tt.addr, n, tt.want)
			}
		}
		wait := g.Wait("192.0.2.1:1")
		if wait <= 0 || wait > 12*time.Second {
			t.Errorf("it has to wait %v", wait)
		}
		time.Sleep(wait)
		if n := tries("192.0.2.1:1"); n != 1 {
			t.Errorf("after its wait it could try %d times", n)
		}
		time.Sleep(time.Hour)
		if n := tries("192.0.2.1:1"); n != 5 {
			t.Errorf("an hour later it could try %d times", n)
		}
	})
}

// Whoever comes from many addresses fills no memory, and those who failed last
// stay known.
func TestManyAddressesAreBounded(t *testing.T) {
	g := session.NewGate()
	for i := range 5000 {
		addr := fmt.Sprintf("10.0.%d.%d:1", i/250, i%250)
		for range 5 {
			g.Failed(addr)
		}
	}
	if g.Wait("10.0.19.249:1") == 0 {
		t.Error("the newest was forgotten")
	}
	if g.Wait("10.0.0.0:1") != 0 {
		t.Error("all of 5000 are kept")
	}
}
