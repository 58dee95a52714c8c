package qualify

import (
	"context"
	"fmt"
	"sync"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/errs"
)

// create lets conditional creations of one object race: exactly one may win.
func (p *probe) create(ctx context.Context) (string, error) {
	key, first := p.fresh("create"), unlike(small)
	if _, err := p.put(ctx, key, first, blob.PutOptions{If: blob.Condition{Absent: true}}); err != nil {
		return "", err
	}
	if err := p.recreate(ctx); err != nil {
		return "", err
	}
	_, err := p.put(ctx, key, unlike(small), blob.PutOptions{If: blob.Condition{Absent: true}})
	if err := p.must(ctx, key, first, err, "a creation has overwritten an object that it was to leave alone (If-None-Match ignored)"); err != nil {
		return "", err
	}
	return p.races(ctx, "creations", func(ctx context.Context) (string, blob.Condition, error) {
		return p.fresh("race"), blob.Condition{Absent: true}, nil
	})
}

// recreate creates an object where one was deleted.
func (p *probe) recreate(ctx context.Context) error {
	key := p.fresh("create")
	if _, err := p.put(ctx, key, unlike(small), blob.PutOptions{}); err != nil {
		return err
	}
	if err := p.b.Delete(ctx, key, blob.DeleteOptions{}); err != nil {
		return err
	}
	_, err := p.put(ctx, key, unlike(small), blob.PutOptions{If: blob.Condition{Absent: true}})
	if errs.Is(err, errs.Conflict) {
		return wrong("a creation was refused where the object had been deleted")
	}
	return err
}

// overwrite lets conditional overwrites of one state race: exactly one may win.
func (p *probe) overwrite(ctx context.Context) (string, error) {
	key, second := p.fresh("overwrite"), unlike(small)
	old, err := p.put(ctx, key, unlike(small), blob.PutOptions{})
	if err != nil {
		return "", err
	}
	if _, err := p.put(ctx, key, second, blob.PutOptions{If: blob.Condition{Match: old.ETag}}); err != nil {
		if errs.Is(err, errs.Conflict) {
			return "", wrong("an overwrite with the right tag was refused")
		}
		return "", err
	}
	_, err = p.put(ctx, key, unlike(small), blob.PutOptions{If: blob.Condition{Match: old.ETag}})
	if err := p.must(ctx, key, second, err, "an overwrite with a stale tag was accepted (If-Match ignored)"); err != nil {
		return "", err
	}
	return p.races(ctx, "overwrites", func(ctx context.Context) (string, blob.Condition, error) {
		key := p.fresh("race")
		obj, err := p.put(ctx, key, unlike(small), blob.PutOptions{})
		return key, blob.Condition{Match: obj.ETag}, err
	})
}

// must says whether a write whose condition did not hold was refused, and left
// the object as it was.
func (p *probe) must(ctx context.Context, key string, data []byte, err error, ignored string) error {
	switch {
	case err == nil:
		return wrong("%s", ignored)
	case !errs.Is(err, errs.Conflict):
		return err
	}
	same, err := p.holds(ctx, key, data)
	if err != nil || !same {
		return orFault(err, "a write that was refused has changed the object")
	}
	return nil
}

// outcome is how one racer fared.
type outcome struct {
	data []byte
	err  error
}

// races holds as many races as the racers fill, each for an object that begin
// prepares.
func (p *probe) races(ctx context.Context, what string, begin func(context.Context) (string, blob.Condition, error)) (string, error) {
	delayed, rounds := 0, 0
	for left := p.o.Racers; left > 0; left -= p.o.Batch {
		n := max(2, min(left, p.o.Batch))
		late, err := p.race(ctx, what, n, begin)
		if err != nil {
			return "", err
		}
		rounds, delayed = rounds+1, delayed+late
	}
	s := fmt.Sprintf("%d %s in %d races: one has won each", p.o.Racers, what, rounds)
	if delayed > 0 {
		s += fmt.Sprintf(", %d were told to come again", delayed)
	}
	return s, nil
}

// race holds one. One in which nobody won, because all were told to come
// again or got no answer, is held again.
func (p *probe) race(ctx context.Context, what string, n int, begin func(context.Context) (string, blob.Condition, error)) (delayed int, err error) {
	for range tries {
		key, on, err := begin(ctx)
		if err != nil {
			return delayed, err
		}
		all := p.start(ctx, key, on, n)
		won, late, err := count(all)
		delayed += late
		if err != nil {
			return delayed, err
		}
		if len(won) > 1 {
			return delayed, wrong("%d of %d racing %s were told that they had won", len(won), n, what)
		}
		if len(won) == 1 {
			same, err := p.holds(ctx, key, won[0])
			if err != nil || !same {
				return delayed, orFault(err, "one of the racing "+what+" was told that it had won, and the object is another's")
			}
			return delayed, nil
		}
		if late == 0 {
			return delayed, wrong("none of %d racing %s has won", n, what)
		}
	}
	return delayed, errs.E(errs.Unavailable, "of the racing %s none got through", what)
}

// start lets n writes go at once.
func (p *probe) start(ctx context.Context, key string, on blob.Condition, n int) []outcome {
	all := make([]outcome, n)
	gate := make(chan struct{})
	var wg sync.WaitGroup
	for i := range all {
		all[i].data = unlike(small)
		wg.Go(func() {
			<-gate
			_, all[i].err = p.put(ctx, key, all[i].data, blob.PutOptions{If: on})
		})
	}
	close(gate)
	wg.Wait()
	return all
}

// count gives what the winners wrote and how many do not know.
func count(all []outcome) (won [][]byte, late int, err error) {
	for _, o := range all {
		switch {
		case o.err == nil:
			won = append(won, o.data)
		case errs.Is(o.err, errs.Conflict):
		case errs.Is(o.err, errs.Unavailable):
			late++
		default:
			return nil, 0, o.err
		}
	}
	return won, late, nil
}

// tagRounds is how often an object goes from one content to another and back.
// Several times, because a tag made of a time in seconds looks unique or not
// as it falls out.
const tagRounds = 5

// tags finds out what a tag stands for: the bytes, or the write. It writes X,
// Y and X again.
func (p *probe) tags(ctx context.Context) (string, error) {
	repeated := 0
	for range tagRounds {
		same, err := p.back(ctx)
		if err != nil {
			return "", err
		}
		if same {
			repeated++
		}
	}
	p.unique = repeated == 0
	if p.unique {
		return "every write takes a new tag", nil
	}
	return "a tag stands for the bytes: the same bytes have it again", nil
}

// back says whether an object that returns to its first content has its
// first tag again.
func (p *probe) back(ctx context.Context) (bool, error) {
	key, x, y := p.fresh("tag"), unlike(small), unlike(small)
	var tags [3]string
	for i, data := range [][]byte{x, y, x} {
		obj, err := p.put(ctx, key, data, blob.PutOptions{})
		if err != nil {
			return false, err
		}
		tags[i] = obj.ETag
	}
	if tags[0] == tags[1] || tags[1] == tags[2] {
		return false, wrong("other bytes have the same tag")
	}
	if tags[0] == tags[2] {
		return true, nil
	}
	_, err := p.put(ctx, key, unlike(small), blob.PutOptions{If: blob.Condition{Match: tags[0]}})
	return false, p.must(ctx, key, x, err, "an overwrite with a stale tag was accepted once the bytes were the same again")
}

// absent overwrites, under a condition, what is not there.
func (p *probe) absent(ctx context.Context) (string, error) {
	key := p.fresh("absent")
	obj, err := p.put(ctx, key, unlike(small), blob.PutOptions{})
	if err != nil {
		return "", err
	}
	if err := p.b.Delete(ctx, key, blob.DeleteOptions{}); err != nil {
		return "", err
	}
	for what, key := range map[string]string{"a deleted object": key, "an object that never was": p.fresh("absent")} {
		_, err := p.put(ctx, key, unlike(small), blob.PutOptions{If: blob.Condition{Match: obj.ETag}})
		switch {
		case err == nil:
			return "", wrong("an overwrite of %s was accepted (If-Match ignored)", what)
		case !errs.Is(err, errs.Conflict):
			return "", err
		}
	}
	return "nothing is overwritten where there is nothing", nil
}

// conditionalDelete deletes with a stale tag, and then with the right one.
func (p *probe) conditionalDelete(ctx context.Context) (string, error) {
	key, data := p.fresh("delete"), unlike(small)
	old, err := p.put(ctx, key, unlike(small), blob.PutOptions{})
	if err != nil {
		return "", err
	}
	obj, err := p.put(ctx, key, data, blob.PutOptions{})
	if err != nil {
		return "", err
	}
	err = p.b.Delete(ctx, key, blob.DeleteOptions{If: blob.Condition{Match: old.ETag}})
	if err := p.must(ctx, key, data, err, "a deletion with a stale tag was accepted (If-Match ignored)"); err != nil {
		return "", err
	}
	if err := p.b.Delete(ctx, key, blob.DeleteOptions{If: blob.Condition{Match: obj.ETag}}); err != nil {
		if errs.Is(err, errs.Conflict) {
			return "", wrong("a deletion with the right tag was refused")
		}
		return "", err
	}
	if _, err := p.b.Head(ctx, key); !errs.Is(err, errs.NotFound) {
		return "", orFault(err, "a deletion with the right tag was acknowledged and not done")
	}
	p.report.ConditionalDelete = true
	return "honoured", nil
}
