package probe

import (
	"container/heap"
	"context"
	"net"
	"time"
)

// entry is one target of a runner, with its two modes of checking. All fields
// are guarded by the runner's mutex, but for those that never change.
type entry struct {
	spec  Target
	plan  *plan
	keep  job
	fresh job
	conn  net.Conn // kept between attempts; nil while keep is in flight
	gone  bool     // removed or replaced
}

// job is one mode of checking one target.
type job struct {
	entry  *entry
	fresh  bool
	every  time.Duration // 0 = only when asked for
	due    time.Time
	place  int                // in the queue; one of the places below when it is not there
	cancel context.CancelFunc // ends the attempt in flight
	hung   bool               // the newest attempt took up its timeout
}

// Places of a job that is not in the queue.
const (
	idle   = -1 - iota // not scheduled
	flying             // an attempt is under way
	parked             // due, and waits for a slot among the hung ones
)

// queue holds the scheduled jobs, the one due first in front.
type queue []*job

func (q queue) Len() int           { return len(q) }
func (q queue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q queue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].place, q[j].place = i, j
}

// Push and Pop are for package heap.
func (q *queue) Push(x any) {
	j := x.(*job)
	j.place = len(*q)
	*q = append(*q, j)
}

func (q *queue) Pop() any {
	old := *q
	j := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	j.place = idle
	return j
}

// put schedules the job at the time, whether or not it is scheduled already.
func (q *queue) put(j *job, due time.Time) {
	j.due = due
	if j.place >= 0 {
		heap.Fix(q, j.place)
	} else {
		heap.Push(q, j)
	}
}

func (q *queue) remove(j *job) {
	if j.place >= 0 {
		heap.Remove(q, j.place)
	}
}

// ripe takes the first job that is due, or gives nil.
func (q *queue) ripe(now time.Time) *job {
	if len(*q) == 0 || (*q)[0].due.After(now) {
		return nil
	}
	return heap.Pop(q).(*job)
}
