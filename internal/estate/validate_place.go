package estate

import (
	"cmp"
	"path"
	"slices"
	"strings"
)

// area is a part of a bucket or folder that has one use.
type area struct {
	where string // ends in "/": an area holds those whose where it begins
	use   string // what it keeps
	note  string // where that is, if the file does not say
	owner string // path of who keeps it
	at    string // path of the value that places it
	order int    // in the file
}

// places reports replicas that would keep things where something else is kept:
// what one of them deletes or lists would be the other's. Heads below a prefix
// in the replica's own bucket are meant.
func (v *validator) places() {
	areas := v.areas()
	slices.SortFunc(areas, func(a, b area) int {
		return cmp.Or(strings.Compare(a.where, b.where), a.order-b.order)
	})
	var clashes []clash
	var around []area // of the one that is looked at, innermost last
	for _, a := range areas {
		for len(around) > 0 && !strings.HasPrefix(a.where, around[len(around)-1].where) {
			around = around[:len(around)-1]
		}
		if len(around) > 0 {
			outer := around[len(around)-1]
			if own := a.owner == outer.owner && a.order > outer.order && a.where != outer.where; !own {
				clashes = append(clashes, clashOf(a, outer))
			}
		}
		around = append(around, a)
	}
	slices.SortFunc(clashes, func(a, b clash) int {
		return cmp.Or(a.later.order-b.later.order, a.first.order-b.first.order)
	})
	said := map[string]bool{} // a companion's clash follows from its bucket's
	for _, c := range clashes {
		if !said[c.later.at] {
			v.add(c.later.at, "would keep %s%s where %s keeps %s already", c.later.use, c.later.note, c.first.owner, c.first.use)
		}
		said[c.later.at] = true
	}
}

type clash struct{ first, later area }

func clashOf(a, b area) clash {
	if a.order < b.order {
		return clash{a, b}
	}
	return clash{b, a}
}

// areas gives every place that is used, in the order of the file.
func (v *validator) areas() []area {
	var list []area
	add := func(a area) {
		a.where = strings.TrimSuffix(a.where, "/") + "/"
		a.order = len(list)
		list = append(list, a)
	}
	if strings.HasPrefix(v.e.Data, "/") {
		add(area{where: folder(path.Clean(v.e.Data)), use: "state", owner: "data", at: "data"})
	}
	for i := range v.e.Buckets {
		b := &v.e.Buckets[i]
		for j := range b.Replicas {
			r := &b.Replicas[j]
			if r.own() == "" || r.S3 == nil && !cleanFolder(r.File) {
				continue // and at fault for that
			}
			owner := Key(Key("buckets", string(b.ID))+".replicas", string(r.Site))
			if !r.Witness {
				add(area{where: r.Where(), use: "objects", owner: owner, at: r.place(owner)})
			}
			heads := area{where: r.HeadsWhere(), use: "heads", owner: owner}
			switch {
			case r.HeadsPrefix != "":
				heads.at = owner + ".heads.prefix"
			case r.HeadsBucket == r.own()+companion:
				heads.at, heads.note = r.place(owner), ", in its companion that ends in "+companion+","
			default:
				heads.at = owner + ".heads.bucket"
			}
			add(heads)
		}
	}
	return list
}
