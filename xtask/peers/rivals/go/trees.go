// Binary trees: a long-lived one, and short-lived ones of all depths.
package main

type tree struct {
	left, right *tree
}

func makeTree(depth uint64) *tree {
	if depth == 0 {
		return &tree{}
	}
	return &tree{makeTree(depth - 1), makeTree(depth - 1)}
}

func (t *tree) count() uint64 {
	if t.left == nil {
		return 1
	}
	return 1 + t.left.count() + t.right.count()
}

func trees(p parameters) {
	depth, threads := p.number("depth", 18), p.number("threads", 1)
	watch := start()
	answer := makeTree(depth + 1).count()
	longLived := makeTree(depth)
	answer += inThreads(threads, func(thread uint64) (sum uint64) {
		for d := uint64(4); d <= depth; d += 2 {
			for i := thread; i < 1<<(depth-d+4); i += threads {
				sum += d * makeTree(d).count()
			}
		}
		return
	})
	watch.stop(answer + longLived.count())
}
