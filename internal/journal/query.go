package journal

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/sparecloud/spare/internal/errs"
	"github.com/sparecloud/spare/internal/estate"
)

// Bounds of a query and of its page.
const (
	defaultLimit = 100
	maxLimit     = 1000
	maxPageBytes = 4 << 20 // of messages and data, after which a page ends early
	maxKinds     = 64
	maxText      = 1024 // bytes of Query.Text and of the IDs
)

// Page is a part of a query's answer.
type Page struct {
	Entries []Entry
	// Next is the ID of the last entry, or the query's own cursor when there
	// is none. It is the Before of the query for the next page or, oldest
	// first, its After.
	Next int64
	More bool // there are entries beyond this page
}

const columns = "id, at, recorded, kind, level, certainty, service, site, incident, actor, message, data"

// Query gives the entries that q selects: From <= At < To, and all else equal.
// A page holds q.Limit entries, fewer when they are very long; More says
// whether another one follows. Invalid: a negative cursor or limit, or an
// over-long text.
func (j *Journal) Query(ctx context.Context, q Query) (Page, error) {
	if err := q.check(); err != nil {
		return Page{}, err
	}
	limit := min(q.Limit, maxLimit)
	if limit == 0 {
		limit = defaultLimit
	}
	page := Page{Next: q.Before}
	if q.Oldest {
		page.Next = q.After
	}
	where, args := q.where()
	err := j.db.Read(ctx, func(ctx context.Context, tx *sql.Tx) error {
		rows, err := tx.QueryContext(ctx, where, append(args, limit+1)...)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }() // Err says what went wrong
		for size := 0; rows.Next(); {
			if len(page.Entries) == limit || size >= maxPageBytes {
				page.More = true
				break
			}
			e, err := scan(rows)
			if err != nil {
				return err
			}
			size += len(e.Message) + len(e.Data)
			page.Entries = append(page.Entries, e)
			page.Next = e.ID
		}
		return rows.Err()
	})
	if err != nil {
		return Page{}, err
	}
	return page, nil
}

func (q *Query) check() error {
	switch {
	case q.Before < 0 || q.After < 0:
		return errs.E(errs.Invalid, "query before %d and after %d: a cursor must not be negative", q.Before, q.After)
	case q.Limit < 0:
		return errs.E(errs.Invalid, "query of %d entries: the limit must not be negative", q.Limit)
	case len(q.Kinds) > maxKinds:
		return errs.E(errs.Invalid, "query of %d kinds: at most %d are taken", len(q.Kinds), maxKinds)
	case len(q.Text) > maxText || len(q.Service) > maxText || len(q.Site) > maxText || len(q.Incident) > maxText:
		return errs.E(errs.Invalid, "query for a text of more than %d bytes", maxText)
	}
	return nil
}

// where gives the SQL of the query and all its arguments but the limit.
func (q *Query) where() (string, []any) {
	var conds []string
	var args []any
	add := func(cond string, values ...any) {
		conds = append(conds, cond)
		args = append(args, values...)
	}
	if q.Before > 0 {
		add("id < ?", q.Before)
	}
	if q.After > 0 {
		add("id > ?", q.After)
	}
	if !q.From.IsZero() {
		add("at >= ?", unixNano(q.From))
	}
	if !q.To.IsZero() {
		add("at < ?", unixNano(q.To))
	}
	if len(q.Kinds) > 0 {
		kinds := make([]any, len(q.Kinds))
		for i, k := range q.Kinds {
			kinds[i] = string(k)
		}
		add("kind IN (?"+strings.Repeat(", ?", len(kinds)-1)+")", kinds...)
	}
	for _, eq := range []struct{ column, value string }{
		{"service", string(q.Service)}, {"site", string(q.Site)}, {"incident", q.Incident},
	} {
		if eq.value != "" {
			add(eq.column+" = ?", eq.value)
		}
	}
	if q.Text != "" {
		add("contains_fold(CAST(message AS BLOB), ?)", []byte(strings.ToLower(q.Text)))
	}
	var b strings.Builder
	b.WriteString("SELECT " + columns + " FROM entry")
	if len(conds) > 0 {
		b.WriteString(" WHERE " + strings.Join(conds, " AND "))
	}
	b.WriteString(" ORDER BY id")
	if !q.Oldest {
		b.WriteString(" DESC")
	}
	b.WriteString(" LIMIT ?")
	return b.String(), args
}

// Get gives the entry with the ID. NotFound: there is none, or it is gone.
func (j *Journal) Get(ctx context.Context, id int64) (Entry, error) {
	var e Entry
	err := j.db.Read(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var err error
		e, err = scan(tx.QueryRowContext(ctx, "SELECT "+columns+" FROM entry WHERE id = ?", id))
		if errors.Is(err, sql.ErrNoRows) {
			return errs.E(errs.NotFound, "entry %d is not in the journal", id)
		}
		return err
	})
	if err != nil {
		return Entry{}, err
	}
	return e, nil
}

// scan reads one row of columns.
func scan(row interface{ Scan(...any) error }) (Entry, error) {
	var e Entry
	var at, recorded int64
	var service, site, incident sql.NullString
	var data []byte
	err := row.Scan(&e.ID, &at, &recorded, &e.Kind, &e.Level, &e.Certainty, &service, &site, &incident, &e.Actor, &e.Message, &data)
	if err != nil {
		return Entry{}, err
	}
	e.At, e.Recorded = time.Unix(0, at).UTC(), time.Unix(0, recorded).UTC()
	e.Service, e.Site, e.Incident = estate.ServiceID(service.String), estate.SiteID(site.String), incident.String
	if len(data) > 0 {
		e.Data = json.RawMessage(data)
	}
	return e, nil
}
