// A spike: much is made and dropped at once, and a light load goes on. Who gives memory back, and
// when, without being asked?
package main

import (
	"fmt"
	"slices"
	"time"
)

// moments are those at which resident memory is read, in milliseconds after the drop.
var moments = []uint64{100, 250, 500, 1000, 2000, 5000, 10000}

func spike(p parameters) {
	replacements := p.number("seconds", 10) * 1000
	live := p.number("live", 64) << 10
	r := newReplacer(live, 0, live, p.number("seed", 1))
	makeAndDrop(p.number("drop", 2048) << 10)
	watch := start()
	for k := uint64(0); ; k++ {
		time.Sleep(time.Until(watch.wall.Add(time.Duration(k) * time.Millisecond)))
		if slices.Contains(moments, k) {
			fmt.Println("rss", k, resident())
		}
		if k == replacements {
			break
		}
		r.step()
	}
	answer := uint64(0)
	for _, left := range r.table {
		answer += left[0]
	}
	watch.stop(answer)
}

//go:noinline
func makeAndDrop(messages uint64) {
	fill(messages, 0)
}
