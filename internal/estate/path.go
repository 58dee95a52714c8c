package estate

import (
	"strconv"
	"strings"
)

// Key gives the path of the entry called name in the mapping at base, in the
// way of "services.shop". A name that is more than letters, digits, "_" and
// "-" is quoted: `dependencies["aws:s3@eu"]`. The root's path is "".
func Key(base, name string) string {
	simple := name != "" && strings.IndexFunc(name, func(r rune) bool {
		return r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) < 0
	switch {
	case !simple:
		return base + "[" + strconv.Quote(name) + "]"
	case base == "":
		return name
	default:
		return base + "." + name
	}
}

// Index gives the path of item i of the list at base: "services.shop.hosts[0]".
func Index(base string, i int) string { return base + "[" + strconv.Itoa(i) + "]" }
