// Command spare keeps what you run in a cloud usable when that cloud goes
// down. Run it without arguments for help.
package main

import (
	"os"

	"github.com/sparecloud/spare/internal/cli"
)

func main() { os.Exit(cli.Main(cli.Options{})) }
