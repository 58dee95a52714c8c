package demo

import (
	"context"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/sparecloud/spare/internal/demo/group"
	"github.com/sparecloud/spare/internal/demo/proof"
	"github.com/sparecloud/spare/internal/errs"
)

// inject sends a signal, unless a test sees to it that nothing happens.
func (s *stage) inject(k proof.Kind, send func() error) error {
	if s.hooks.inject != nil {
		return s.hooks.inject(k, send)
	}
	return send()
}

// breakIt kills or freezes the cloud and gathers the proof of it. The judge
// decides what the proof is worth, so missing pieces are no error here; only a
// fault that had no effect ends the story.
func (s *stage) breakIt(ctx context.Context, c *cloud, f *proof.Fault) error {
	p := &f.Proof
	p.PID = c.group.PID()
	for i := range 2 {
		if err := pause(ctx, time.Duration(i)*300*time.Millisecond); err != nil {
			return err
		}
		if n, reply := served(ctx, c); reply == proof.Answered {
			p.ServedBefore = append(p.ServedBefore, n)
		}
	}
	_, p.BucketBefore = ask(ctx, "http://"+c.bucket+"/", 500*time.Millisecond)
	f.At = time.Now()
	sig := syscall.SIGKILL
	if f.Kind == proof.Stop {
		sig = syscall.SIGSTOP
	}
	if err := s.inject(f.Kind, func() error { return c.group.Signal(sig) }); err != nil {
		return err
	}
	sure := s.killed
	if f.Kind == proof.Stop {
		sure = s.frozen
	}
	if !sure(c.group, f) {
		return errs.E(errs.Internal, "%s %s: the kernel does not say that it happened", f.Kind, c.name)
	}
	var asking sync.WaitGroup
	asking.Go(func() { _, p.CounterAfter = served(ctx, c) })
	asking.Go(func() { _, p.ConnectAfter = ask(ctx, "http://"+c.front+"/", 500*time.Millisecond) })
	asking.Go(func() { _, p.BucketAfter = ask(ctx, "http://"+c.bucket+"/", 500*time.Millisecond) })
	asking.Wait()
	return nil
}

// killed waits for the wait status of the group's first process.
func (s *stage) killed(g *group.Group, f *proof.Fault) bool {
	select {
	case <-g.Done():
	case <-time.After(s.pace.sure):
		return false
	}
	f.Sure = time.Now()
	if ws, _ := g.Status(); ws.Signaled() {
		f.Proof.Signal = int(ws.Signal())
	}
	s.screen.Fault("%s killed (SIGKILL, pid %d)", f.Site, g.PID())
	return true
}

// frozen waits until every process of the group is stopped.
func (s *stage) frozen(g *group.Group, f *proof.Fault) bool {
	for end := time.Now().Add(s.pace.sure); time.Now().Before(end); time.Sleep(time.Millisecond) {
		f.Proof.States = states(g)
		if f.Proof.States != "" && !slices.ContainsFunc([]byte(f.Proof.States), func(b byte) bool { return b != 'T' }) {
			f.Sure = time.Now()
			s.screen.Fault("%s frozen (SIGSTOP, pid %d)", f.Site, g.PID())
			return true
		}
	}
	return false
}

// states gives the states of all processes of the group.
func states(g *group.Group) string {
	var out []byte
	for _, p := range g.Members() {
		out = append(out, p.State)
	}
	return string(out)
}

// repair starts a dead cloud, or thaws a frozen one.
func (s *stage) repair(ctx context.Context, c *cloud) error {
	if _, dead := c.group.Status(); !dead {
		s.screen.Say("%s goes on (SIGCONT)", c.name)
		return c.group.Signal(syscall.SIGCONT)
	}
	if err := s.start(c); err != nil {
		return err
	}
	if err := s.healthy(ctx, c); err != nil {
		return err
	}
	s.screen.Say("%s runs again (pid %d) and has caught up with the others' orders", c.name, c.group.PID())
	return nil
}

// control finds Spare's control process among its children.
func (s *stage) control() (group.Process, bool) {
	for _, p := range group.Children(s.spare.PID()) {
		if slices.Contains(p.Args(), "control") && p.Alive() {
			return p, true
		}
	}
	return group.Process{}, false
}

// killControl kills Spare's control process, and waits until another one has
// taken its place and caught up.
func (s *stage) killControl(ctx context.Context, f *proof.Fault) error {
	victim, ok := s.control()
	if !ok {
		return errs.E(errs.Unavailable, "%s: Spare has no such process", f.Kind)
	}
	f.Proof.PID, f.At = victim.PID, time.Now()
	err := s.inject(f.Kind, func() error { return syscall.Kill(victim.PID, syscall.SIGKILL) })
	if err != nil {
		return errs.Wrap(errs.Unavailable, err, "kill process %d", victim.PID)
	}
	gone := func(context.Context) bool { return !victim.Alive() }
	if err := s.await(ctx, "the control process is gone", s.pace.sure, s.spare, gone); err != nil {
		return err
	}
	f.Proof.Gone, f.Sure = true, time.Now()
	s.screen.Fault("Spare's own control process killed (SIGKILL, pid %d); traffic does not need it", victim.PID)
	next := func(context.Context) bool {
		p, ok := s.control()
		f.Proof.Successor = p.PID
		return ok && p.PID != victim.PID
	}
	if err := s.await(ctx, "the control process is back", 10*time.Second, s.spare, next); err != nil {
		return err
	}
	caughtUp := func(ctx context.Context) bool {
		st, err := s.client.Status(ctx)
		if err != nil || !st.At.After(f.Sure) || len(st.Services) == 0 {
			return false
		}
		f.Proof.StatusAt = st.At
		return true
	}
	if err := s.await(ctx, "the control process shows Spare's state", 10*time.Second, s.spare, caughtUp); err != nil {
		return err
	}
	s.screen.Say("the control process is back (pid %d)", f.Proof.Successor)
	err = s.watch(ctx, f)
	f.Until = time.Now()
	return err
}
