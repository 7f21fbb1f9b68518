package property

import (
	"fmt"
	"sort"
	"strings"
)

// Kind says what happened to a property between two sets of inputs.
type Kind int

// What can happen to a property.
const (
	Added Kind = iota
	Deleted
	Updated
)

// Difference is one property that differs: Path as the engine writes it (`connection.host`, `triggers[0]`), Root the
// name of the top-level property that it belongs to.
type Difference struct {
	Path string
	Root string
	Kind Kind
}

// Differences compares two sets of inputs, sorted by path. Being secret or not makes no difference, an unknown value
// always does, and names that begin with two underscores belong to other tools' bookkeeping and are passed over.
func Differences(olds, news Map) []Difference {
	var found []Difference
	olds, news = PlainMap(olds), PlainMap(news)
	for _, name := range names(olds, news) {
		for path, kind := range compare(olds[name], news[name]) {
			found = append(found, Difference{Path: join(member(name), path), Root: name, Kind: kind})
		}
	}
	sort.Slice(found, func(left, right int) bool { return found[left].Path < found[right].Path })
	return found
}

// names gives every property name of both maps once.
func names(olds, news Map) []string {
	var all []string
	for name := range olds {
		all = append(all, name)
	}
	for name := range news {
		if _, known := olds[name]; !known {
			all = append(all, name)
		}
	}
	visible := all[:0]
	for _, name := range all {
		if !strings.HasPrefix(name, "__") {
			visible = append(visible, name)
		}
	}
	return visible
}

// compare gives the changes at and below a value by path; the empty path means the value itself.
func compare(old, value any) map[string]Kind {
	switch {
	case old == nil && value == nil:
		return nil
	case old == nil:
		return map[string]Kind{"": Added}
	case value == nil:
		return map[string]Kind{"": Deleted}
	}
	switch old := old.(type) {
	case Map:
		if value, same := value.(Map); same {
			return compareMaps(old, value)
		}
	case []any:
		if value, same := value.([]any); same {
			return compareLists(old, value)
		}
	case bool, float64, string:
		if old == value {
			return nil
		}
	}
	return map[string]Kind{"": Updated}
}

func compareMaps(olds, news Map) map[string]Kind {
	changes := map[string]Kind{}
	for _, name := range names(olds, news) {
		for path, kind := range compare(olds[name], news[name]) {
			changes[join(member(name), path)] = kind
		}
	}
	return changes
}

func compareLists(olds, news []any) map[string]Kind {
	changes := map[string]Kind{}
	for index := range max(len(olds), len(news)) {
		element := fmt.Sprintf("[%d]", index)
		switch {
		case index >= len(olds):
			changes[element] = Added
		case index >= len(news):
			changes[element] = Deleted
		default:
			for path, kind := range compare(olds[index], news[index]) {
				changes[join(element, path)] = kind
			}
		}
	}
	return changes
}

func join(path, below string) string {
	if below == "" || strings.HasPrefix(below, "[") {
		return path + below
	}
	return path + "." + below
}

func member(name string) string {
	if strings.ContainsAny(name, `.["]`) {
		return `["` + strings.ReplaceAll(name, `"`, `\"`) + `"]`
	}
	return name
}
