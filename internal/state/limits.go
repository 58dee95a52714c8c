package state

import (
	"time"

	"github.com/sparecloud/spare/internal/errs"
)

// Limits of what a store takes, in bytes but for MaxOps.
const (
	MaxKey   = 512
	MaxValue = 1 << 20
	MaxOps   = 128 // changes and checks in one Txn
)

// CheckKey reports a key that no store takes. The error is Invalid.
func CheckKey(key string) error {
	if key == "" || len(key) > MaxKey {
		return errs.E(errs.Invalid, "key %.40q has %d bytes: it must have 1 to %d", key, len(key), MaxKey)
	}
	return nil
}

// CheckOps reports operations that no store takes: a bad key, a value that is
// too long, too many ops, or one key changed twice. The error is Invalid.
func CheckOps(ops []Op) error {
	if len(ops) > MaxOps {
		return errs.E(errs.Invalid, "%d operations in a transaction: at most %d are taken", len(ops), MaxOps)
	}
	changed := make(map[string]bool, len(ops))
	for _, op := range ops {
		if err := CheckKey(op.Key); err != nil {
			return err
		}
		if len(op.Value) > MaxValue {
			return errs.E(errs.Invalid, "value of %q has %d bytes: at most %d are taken", op.Key, len(op.Value), MaxValue)
		}
		if op.Check {
			continue
		}
		if changed[op.Key] {
			return errs.E(errs.Invalid, "key %q is changed twice in a transaction", op.Key)
		}
		changed[op.Key] = true
	}
	return nil
}

// CheckLease reports a lease that no store grants. The error is Invalid.
func CheckLease(name, holder string, ttl time.Duration) error {
	if err := CheckKey(name); err != nil {
		return errs.Wrap(errs.Invalid, err, "lease name")
	}
	if err := CheckKey(holder); err != nil {
		return errs.Wrap(errs.Invalid, err, "holder of lease %q", name)
	}
	if ttl <= 0 {
		return errs.E(errs.Invalid, "lease %q for %s: the time must be positive", name, ttl)
	}
	return nil
}
