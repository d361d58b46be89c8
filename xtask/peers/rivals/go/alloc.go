// Allocation throughput: objects without references, each of which dies when the next is made.
package main

import "strconv"

// Go allocates by types, so each size is one.
type words interface {
	[2]uint64 | [4]uint64 | [8]uint64 | [16]uint64 | [64]uint64 | [512]uint64
}

// holder keeps a thread's last object; it is in the heap, so that the object must be too.
type holder[T words] struct {
	last *T
	_    [120]byte
}

func alloc(p parameters) {
	switch size := p.number("size", 64); size {
	case 16:
		allocate[[2]uint64](p)
	case 32:
		allocate[[4]uint64](p)
	case 64:
		allocate[[8]uint64](p)
	case 128:
		allocate[[16]uint64](p)
	case 512:
		allocate[[64]uint64](p)
	case 4096:
		allocate[[512]uint64](p)
	default:
		fail("no type of that size: " + strconv.FormatUint(size, 10))
	}
}

func allocate[T words](p parameters) {
	threads := p.number("threads", 1)
	count := p.number("count", 50_000_000)
	holders := make([]holder[T], threads)
	watch := start()
	answer := inThreads(threads, func(thread uint64) (sum uint64) {
		holder := &holders[thread]
		holder.last = new(T)
		for i := range count {
			object := new(T)
			(*object)[0] = i
			sum += (*holder.last)[0]
			holder.last = object
		}
		return
	})
	watch.stop(answer)
}
