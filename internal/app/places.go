package app

import (
	"errors"
	"log/slog"

	"github.com/sparecloud/spare/internal/blob"
	"github.com/sparecloud/spare/internal/blob/fileblob"
	"github.com/sparecloud/spare/internal/blob/replica"
	"github.com/sparecloud/spare/internal/blob/s3blob"
	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
	"github.com/sparecloud/spare/internal/objects"
)

// Connect gives what opens the drivers of a bucket's replicas. It touches
// nothing outside: whether the places are there shows when they are used.
func Connect(log *slog.Logger) objects.Connect {
	return func(r estate.Replica) (replica.Member, error) {
		m := replica.Member{ID: string(r.Site), Where: r.Where(), HeadsWhere: r.HeadsWhere(), MakeBody: r.S3 == nil}
		place, prefix := r.Heads()
		heads, err := openPlace(r, place, log)
		if err != nil {
			return m, err
		}
		m.Heads = blob.New(string(r.Site), heads).Under(prefix)
		if r.Witness {
			return m, nil
		}
		own := r.File
		if r.S3 != nil {
			own = r.S3.Bucket
		}
		body, err := openPlace(r, own, log)
		if err != nil {
			return m, errors.Join(err, heads.Close())
		}
		m.Body = blob.New(string(r.Site), body)
		return m, nil
	}
}

// openPlace opens a bucket or folder of a replica's provider.
func openPlace(r estate.Replica, place string, log *slog.Logger) (blob.Driver, error) {
	switch {
	case r.S3 != nil:
		return s3blob.Open(s3blob.Options{
			Bucket: place, Region: r.S3.Region, Endpoint: r.S3.Endpoint, PathStyle: r.S3.PathStyle,
			AccessKey: r.S3.AccessKey, SecretKey: r.S3.SecretKey, SessionToken: r.S3.SessionToken,
		})
	case r.File != "":
		return fileblob.Open(place, fileblob.Options{Marked: true, Later: true, Log: log})
	}
	return nil, errs.E(errs.Invalid, "%s is neither an S3 bucket nor a folder", r.Site)
}
