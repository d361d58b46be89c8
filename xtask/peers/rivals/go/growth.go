// What a byte costs that is allocated, while more lives and on more threads.
package main

import (
	"fmt"
	"runtime"
)

const growthDepth, growthTreeBytes = 4, 31 * 32

type leafy struct {
	left, right   *leafy
	number, depth uint64
}

func makeLeafy(depth, number uint64) *leafy {
	if depth == 0 {
		return &leafy{number: number}
	}
	return &leafy{makeLeafy(depth-1, number), makeLeafy(depth-1, number), number, depth}
}

// A plot is a thread's trees.
type plot struct {
	trees  []*leafy
	random generator
	sum    uint64
}

// replace makes the trees of these numbers, each in place of a random one.
func (p *plot) replace(from, to uint64) {
	for number := from; number < to; number++ {
		p.step(number)
	}
}

func (p *plot) step(number uint64) {
	at := p.random.below(uint64(len(p.trees)))
	old := p.trees[at]
	p.trees[at] = makeLeafy(growthDepth, number)
	right := old
	for right.right != nil {
		right = right.right
	}
	p.sum += old.number + right.number
}

func growth(p parameters) {
	threads, seed := p.number("threads", 1), p.number("seed", 1)
	live := p.number("live", 64) << 20 / growthTreeBytes
	part := live / threads
	count := p.number("count", 4*live) / threads
	plots := make([]*plot, threads)
	inThreads(threads, func(thread uint64) uint64 {
		plot := &plot{trees: make([]*leafy, part), random: generator(seed + thread)}
		for at := range plot.trees {
			plot.trees[at] = makeLeafy(growthDepth, thread*part+uint64(at))
		}
		// The heap gets the size that it will keep.
		plot.replace(live, live+part)
		plots[thread] = plot
		return 0
	})
	runtime.GC()
	watch := start()
	answer := inThreads(threads, func(thread uint64) uint64 {
		plots[thread].replace(live+part, live+part+count)
		return plots[thread].sum
	})
	fmt.Println("allocated_bytes", count*threads*growthTreeBytes)
	watch.stop(answer)
}
