package sqlitedb

import (
	"database/sql/driver"
	"strings"
	"sync"

	"modernc.org/sqlite"
)

// register adds what SQLite lacks to the driver, once in a process.
//
//	contains_fold(text, lower): 1 if text holds lower in any mixture of cases;
//	lower is what strings.ToLower gave. SQLite's LIKE knows the cases of ASCII
//	only. Both are BLOBs, because TEXT arguments end at their first NUL.
var register = sync.OnceValue(func() error {
	return sqlite.RegisterDeterministicScalarFunction("contains_fold", 2,
		func(_ *sqlite.FunctionContext, args []driver.Value) (driver.Value, error) {
			text, _ := args[0].([]byte)
			lower, _ := args[1].([]byte)
			return strings.Contains(strings.ToLower(string(text)), string(lower)), nil
		})
})
