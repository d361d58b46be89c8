// The latency ring: messages of 1 KiB in a table, of which a random one is replaced again and
// again, at full speed or at a fixed rate; and the same under a memory limit.
package main

import (
	"bufio"
	"fmt"
	"math/bits"
	"os"
	"runtime/debug"
	"time"
)

type message [128]uint64

func makeMessage(number uint64) *message {
	made := new(message)
	for at := range made {
		made[at] = number + uint64(at)
	}
	return made
}

// fill makes a table of messages, numbered on from first.
func fill(places, first uint64) []*message {
	table := make([]*message, places)
	for at := range table {
		table[at] = makeMessage(first + uint64(at))
	}
	return table
}

// A replacer is what one thread works with.
type replacer struct {
	table  []*message
	random generator
	// made is the number of the next message.
	made, sum uint64
	latency   histogram
}

// newReplacer has messages numbered on from first; the replacements are from next.
func newReplacer(places, first, next, seed uint64) *replacer {
	return &replacer{table: fill(places, first), random: generator(seed), made: next}
}

func (r *replacer) step() {
	at := r.random.below(uint64(len(r.table)))
	old := r.table[at]
	r.sum += old[0] + old[127]
	r.table[at] = makeMessage(r.made)
	r.made++
}

// One look at the clock a message: a message's time begins where the one before ended.
func (r *replacer) atFullSpeed(count uint64) {
	base := time.Now()
	before := time.Duration(0)
	for range count {
		r.step()
		now := time.Since(base)
		r.latency.record(now - before)
		before = now
	}
}

// The times at which messages are due do not wait for the messages.
func (r *replacer) atRate(count, rate uint64) {
	base := time.Now()
	for k := range count {
		due := time.Duration(k * 1_000_000_000 / rate)
		for time.Since(base) < due {
		}
		r.step()
		r.latency.record(time.Since(base) - due)
	}
}

func ring(p parameters) {
	threads, rate, seed := p.number("threads", 1), p.number("rate", 0), p.number("seed", 1)
	live := p.number("live", 200_000)
	part := live / threads
	count := p.number("count", 2_000_000) / threads
	replacers := make([]*replacer, threads)
	inThreads(threads, func(thread uint64) uint64 {
		replacers[thread] = newReplacer(part, thread*part, live, seed+thread)
		return 0
	})
	watch := start()
	answer := inThreads(threads, func(thread uint64) uint64 {
		r := replacers[thread]
		if rate == 0 {
			r.atFullSpeed(count)
		} else {
			r.atRate(count, rate)
		}
		return r.sum
	})
	watch.stop(answer)
	for _, other := range replacers[1:] {
		replacers[0].latency.add(&other.latency)
	}
	replacers[0].latency.print()
}

func limit(p parameters) {
	live := p.number("live", 400) << 10
	count := p.number("count", 3_000_000)
	debug.SetMemoryLimit(int64(p.number("limit", 512) << 20))
	r := newReplacer(live, 0, live, p.number("seed", 1))
	watch := start()
	for range count {
		r.step()
	}
	watch.stop(r.sum)
}

// histogram has buckets of 1/128 of their value, exact below 256 ns.
type histogram [58 * 128]uint64

func (h *histogram) record(value time.Duration) {
	v := uint64(max(value, 0))
	shift := max(bits.Len64(v)-8, 0)
	h[shift<<7+int(v>>shift)]++
}

func (h *histogram) add(other *histogram) {
	for at, count := range other {
		h[at] += count
	}
}

// print gives each bucket's largest value and its count.
func (h *histogram) print() {
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for at, count := range h {
		if count > 0 {
			shift := max(at>>7-1, 0)
			value := (uint64(at-shift<<7)+1)<<shift - 1
			fmt.Fprintf(out, "latency_ns %d %d\n", value, count)
		}
	}
}
