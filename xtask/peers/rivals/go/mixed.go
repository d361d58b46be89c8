// Marking: objects of several types, two of them with vectors, in units of eight. Everything of a
// unit leads to its neighbors, or to other units at random.
package main

const unitNodes, itemsOfFolder, linksEnd, mixedRoots = 8, 3, 8, 16

type value struct {
	word    uint64
	content [4]uint64
}

type item struct {
	value *value
	note  *note
	word  uint64
}

type note struct {
	about *folder
	word  uint64
}

type folder struct {
	items []*item
	links []*folder
	note  *note
	word  uint64
}

func makeFolder(unit uint64) *folder {
	word := unit * unitNodes
	items := make([]*item, itemsOfFolder)
	for at := range items {
		place := word + 1 + uint64(at)
		value := &value{word: place + 3, content: [4]uint64{word, word, word, word}}
		items[at] = &item{value: value, word: place}
	}
	return &folder{items: items, note: &note{word: word + 7}, word: word}
}

// buildMixed makes all units, then the references between them, and returns the roots.
func buildMixed(units uint64, random generator) []*folder {
	folders := make([]*folder, units)
	for unit := range folders {
		folders[unit] = makeFolder(uint64(unit))
	}
	for _, from := range folders {
		for _, item := range from.items {
			item.note = folders[random.below(units)].note
		}
		from.note.about = folders[random.below(units)]
		if count := random.below(linksEnd); count > 0 {
			from.links = make([]*folder, count)
			for at := range from.links {
				from.links[at] = folders[random.below(units)]
			}
		}
	}
	return append([]*folder(nil), folders[:min(mixedRoots, units)]...)
}

func walkMixed(roots []*folder, n uint64) uint64 {
	seen := make([]uint64, n/64+1)
	reached, words := uint64(0), uint64(0)
	isNew := func(word uint64) bool {
		if seen[word/64]>>(word%64)&1 == 1 {
			return false
		}
		seen[word/64] |= 1 << (word % 64)
		reached++
		words ^= word
		return true
	}
	stack := append([]*folder(nil), roots...)
	visit := func(note *note) {
		if isNew(note.word) {
			stack = append(stack, note.about)
		}
	}
	for len(stack) > 0 {
		top := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if !isNew(top.word) {
			continue
		}
		stack = append(stack, top.links...)
		visit(top.note)
		for _, item := range top.items {
			visit(item.note)
			isNew(item.word)
			isNew(item.value.word)
		}
	}
	return reached*31 + words
}
