//go:build !race

package replica

const simRaces = false
