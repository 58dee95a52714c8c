package api

import (
	"encoding/json"
	"reflect"
)

// withLists gives a copy of doc in which every list that is nil is empty:
// programs that read the documents need not tell null from [].
func withLists(doc any) any {
	v := reflect.ValueOf(doc)
	if !v.IsValid() {
		return doc
	}
	own := reflect.New(v.Type()).Elem()
	own.Set(v)
	fillLists(own)
	return own.Interface()
}

var raw = reflect.TypeFor[json.RawMessage]()

func fillLists(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fillLists(v.Field(i))
			}
		}
	case reflect.Slice:
		if v.Type() == raw {
			return
		}
		// A list may belong to the backend: it is filled in a copy.
		list := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		reflect.Copy(list, v)
		for i := range list.Len() {
			fillLists(list.Index(i))
		}
		v.Set(list)
	}
}
