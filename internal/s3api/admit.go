package s3api

import (
	"net/http"
	"time"

	"github.com/sparecloud/spare/internal/s3api/offer"
	"github.com/sparecloud/spare/internal/s3api/s3err"
	"github.com/sparecloud/spare/internal/s3api/sigv2"
	"github.com/sparecloud/spare/internal/s3api/sigv4"
)

// authenticate finds out who asks. Nobody's requests are answered. hosted is
// the bucket that the host names, or "".
func authenticate(r *http.Request, t *tables, hosted string) (*sigv4.Signature, *Credential, error) {
	old, err := sigv2.Parse(r)
	if err != nil {
		return nil, nil, err
	}
	if old != nil && r.Header.Get("Authorization") == "" {
		return authenticateURL(r, t, old, hosted)
	}
	sig, err := sigv4.Parse(r)
	if err != nil {
		return nil, nil, err
	}
	if sig == nil {
		return nil, nil, s3err.AccessDenied.Msg("Requests must be signed.")
	}
	cred := t.byKey[sig.AccessKey]
	if cred == nil {
		return nil, nil, s3err.InvalidAccessKeyID.Err()
	}
	if err := sig.Verify(r, cred.SecretKey, time.Now()); err != nil {
		return nil, nil, err
	}
	if t.Region != "" && sig.Region != t.Region {
		return nil, nil, sig.WrongRegion(t.Region)
	}
	return sig, cred, nil
}

// authenticateURL does so by a URL that version 2 signed. From here on it is
// like one that version 4 signed.
func authenticateURL(r *http.Request, t *tables, old *sigv2.Signature, hosted string) (*sigv4.Signature, *Credential, error) {
	cred := t.byKey[old.AccessKey]
	if cred == nil {
		return nil, nil, s3err.InvalidAccessKeyID.Err()
	}
	if err := old.Verify(r, hosted, cred.SecretKey, time.Now()); err != nil {
		return nil, nil, err
	}
	return &sigv4.Signature{AccessKey: old.AccessKey, Presigned: true, Payload: sigv4.Unsigned}, cred, nil
}

// authorize decides whether the credential may do the operation on what it
// names, and gives the bucket. Who may not know of a bucket does not learn
// whether it exists.
func authorize(t *tables, cred *Credential, op offer.Operation, bucket string) (Store, error) {
	if op.Op == offer.ListBuckets {
		return nil, nil
	}
	if !cred.sees(bucket) || !cred.Rights.allow(op.Right) {
		return nil, s3err.AccessDenied.Err()
	}
	store, err := t.store(bucket)
	if op.Op == offer.CreateBucket && s3err.Is(err, s3err.NoSuchBucket) {
		return nil, nil
	}
	return store, err
}
