// Go's side of `cargo xtask bench --peers`: the shared workloads as a Go programmer writes them.
//
// One program, `rivals WORKLOAD key=value ...`, a file a workload: trees.go, alloc.go, ring.go (the
// limit too), graph.go (and mixed.go), spike.go, packages.go, growth.go. This file reads the
// parameters, draws the random numbers and prints the figures; all of it is the same in every
// system, so that the answers are.
//
// Settings are Go's defaults (GOGC=100); the harness sets GOMAXPROCS by the environment. What
// remains unequal: `new` clears what is then written, stores of references pass the test of a
// write barrier, goroutines are moved between threads, and the collector marks with up to a
// quarter of the processors and more where they idle.
package main

import (
	"fmt"
	"math/bits"
	"os"
	"runtime/metrics"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

var workloads = map[string]func(parameters){
	"trees":    trees,
	"alloc":    alloc,
	"ring":     ring,
	"graph":    graph,
	"spike":    spike,
	"limit":    limit,
	"growth":   growth,
	"packages": packages,
}

func main() {
	if len(os.Args) < 2 || workloads[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "unknown workload:", os.Args[1:])
		os.Exit(3)
	}
	given := parameters{}
	for _, argument := range os.Args[2:] {
		key, value, found := strings.Cut(argument, "=")
		if !found {
			fail("not key=value: " + argument)
		}
		given[key] = value
	}
	workloads[os.Args[1]](given)
}

func fail(why string) {
	fmt.Fprintln(os.Stderr, why)
	os.Exit(2)
}

// parameters are the arguments by their keys; each use names its default.
type parameters map[string]string

func (p parameters) number(key string, otherwise uint64) uint64 {
	text, given := p[key]
	if !given {
		return otherwise
	}
	value, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		fail(err.Error())
	}
	return value
}

func (p parameters) word(key, otherwise string) string {
	if text, given := p[key]; given {
		return text
	}
	return otherwise
}

// generator is splitmix64.
type generator uint64

func (g *generator) next() uint64 {
	*g += 0x9E3779B97F4A7C15
	z := uint64(*g)
	z = (z ^ z>>30) * 0xBF58476D1CE4E5B9
	z = (z ^ z>>27) * 0x94D049BB133111EB
	return z ^ z>>31
}

// below gives a number less than n.
func (g *generator) below(n uint64) uint64 {
	high, _ := bits.Mul64(g.next(), n)
	return high
}

// A watch holds what the clocks said when the measured part began.
type watch struct {
	wall        time.Time
	cpu, cycles uint64
	collector   float64
}

func start() watch {
	return watch{cycles: cycles(), collector: collectorCPU(), cpu: cpuTime(), wall: time.Now()}
}

// stop prints the figures of the measured part, and the answer.
func (w watch) stop(answer uint64) {
	w.stopThen(func() uint64 { return answer })
}

// stopThen is the same with an answer that is found after the measured part.
func (w watch) stopThen(answer func() uint64) {
	wall, cpu := time.Since(w.wall), cpuTime()-w.cpu
	fmt.Println("rss_end_bytes", resident())
	fmt.Println("wall_ns", wall.Nanoseconds())
	fmt.Println("cpu_ns", cpu)
	fmt.Println("collections", cycles()-w.cycles)
	fmt.Println("collector_cpu_ns", uint64((collectorCPU()-w.collector)*1e9))
	fmt.Println("answer", answer())
}

// cpuTime is the processor time of the process, in nanoseconds.
func cpuTime() uint64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return uint64(usage.Utime.Nano() + usage.Stime.Nano())
}

// collectorCPU is the processor time of collections, in seconds, as the runtime estimates it:
// marking by the collector's workers and by goroutines that allocate. Sweeping is not in it.
func collectorCPU() float64 {
	sample := []metrics.Sample{{Name: "/cpu/classes/gc/total:cpu-seconds"}}
	metrics.Read(sample)
	return sample[0].Value.Float64()
}

// cycles is how many collections there were.
func cycles() uint64 {
	sample := []metrics.Sample{{Name: "/gc/cycles/total:gc-cycles"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// resident is the process's resident memory, in bytes.
func resident() uint64 {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		panic(err)
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	kib, err := strconv.ParseUint(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		panic(err)
	}
	return kib << 10
}

// inThreads runs the work once for each thread, and adds up what they return.
func inThreads(threads uint64, work func(thread uint64) uint64) (sum uint64) {
	results := make([]uint64, threads)
	var all sync.WaitGroup
	for thread := range threads {
		all.Go(func() { results[thread] = work(thread) })
	}
	all.Wait()
	for _, result := range results {
		sum += result
	}
	return
}
