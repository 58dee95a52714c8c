package objects

import (
	"context"
	"errors"
	"log/slog"

	"github.com/sparecloud/spare/internal/blob/replica"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
)

// Declared gives the options that a bucket's declaration stands for, with its
// members connected. Close the options' members with [Disconnect] when no
// bucket was opened with them.
func Declared(b estate.Bucket, connect Connect, log *slog.Logger) (replica.Options, error) {
	o := replica.Options{
		Name: string(b.ID), Degraded: b.Degraded, Level: replica.Level(b.Read), MaxAge: b.MaxAge, Adopt: string(b.Adopt), Reserved: b.Reserved(), Log: log,
	}
	for _, r := range b.Replicas {
		m, err := connect(r)
		if err != nil {
			return o, errors.Join(errs.Wrap(errs.KindOf(err), err, "bucket %s at %s", b.ID, r.Site), Disconnect(o))
		}
		o.Members = append(o.Members, m)
	}
	return o, nil
}

// Disconnect closes the members' drivers.
func Disconnect(o replica.Options) error {
	var all []error
	for _, m := range o.Members {
		all = append(all, m.Heads.Close())
		if m.Body != nil {
			all = append(all, m.Body.Close())
		}
	}
	return errors.Join(all...)
}

// Check compares the declaration with what the bucket's replicas know of it.
// errs.Conflict: they differ. Replicas that do not answer, or know of no such
// bucket, object to nothing.
func Check(ctx context.Context, b estate.Bucket, connect Connect, log *slog.Logger) error {
	o, err := Declared(b, connect, log)
	if err != nil {
		return err
	}
	return errors.Join(replica.Check(ctx, o), Disconnect(o))
}

// Open opens one bucket for a command. close ends it and its drivers.
func Open(ctx context.Context, b estate.Bucket, connect Connect, log *slog.Logger) (open *replica.Bucket, closeAll func() error, err error) {
	o, err := Declared(b, connect, log)
	if err != nil {
		return nil, nil, err
	}
	open, err = replica.Open(ctx, o)
	if err != nil {
		return nil, nil, errors.Join(err, Disconnect(o))
	}
	return open, func() error { return errors.Join(open.Close(), Disconnect(o)) }, nil
}
