// The stack bench's rival: what ../benches/stack.rs does with frames, in Go with its goroutines.
//
// It prints a line a figure: a name and a number. Frames are of 144 bytes, as measured by the
// stack's own growth; settings are Go's defaults.
package main

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

var sink uint64

// recurse keeps 13 words in its frame, and calls itself.
//
//go:noinline
func recurse(depth int) uint64 {
	var words [13]uint64
	words[depth%13] = uint64(depth)
	if depth > 0 {
		words[(depth+1)%13] = recurse(depth - 1)
	}
	return words[depth%13] + words[(depth+1)%13]
}

//go:noinline
func leaf(number uint64) uint64 {
	var words [5]uint64
	words[number%5] = number
	return words[(number+1)%5] + number
}

// cpu is the processor time of the process, in nanoseconds.
func cpu() float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return float64(usage.Utime.Nano() + usage.Stime.Nano())
}

func since(begun float64) float64 {
	return cpu() - begun
}

// deep recurses in a new goroutine, twice: nanoseconds a frame each time.
func deep(depth int) (once, again float64) {
	done := make(chan struct{})
	go func() {
		begun := cpu()
		sink += recurse(depth)
		once = since(begun) / float64(depth)
		begun = cpu()
		sink += recurse(depth)
		again = since(begun) / float64(depth)
		close(done)
	}()
	<-done
	return
}

func residentBytes() float64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	pages, _ := strconv.ParseFloat(strings.Fields(string(text))[1], 64)
	return pages * float64(os.Getpagesize())
}

type held struct {
	number *uint64
	more   [2]uint64
}

// step calls down some frames and comes back.
//
//go:noinline
func step(depth int, number *uint64) uint64 {
	frame := held{number: number}
	if depth > 0 {
		frame.more[0] = step(depth-1, frame.number)
	}
	return *frame.number + frame.more[0]
}

// beside recurses until the stack is deep, and there takes steps until it is told to stop: what
// each took, in nanoseconds.
//
//go:noinline
func beside(bytes, used int, number *uint64, stop *atomic.Bool, times []int64) []int64 {
	frame := held{number: number}
	// What a frame of this function takes, as its stack's growth shows.
	if used < bytes {
		times = beside(bytes, used+frameBytes, frame.number, stop, times)
		frame.more[0] += *frame.number
		return times
	}
	random := uint64(7)
	for !stop.Load() {
		random ^= random << 13
		random ^= random >> 7
		random ^= random << 17
		begun := time.Now()
		sink += step(int(random%300), frame.number)
		times = append(times, time.Since(begun).Nanoseconds())
	}
	return times
}

// frameBytes is what `go build -gcflags=-S` says of the frame of `beside`, with the return address
// and the frame pointer; at the least.
const frameBytes = 160

// steps prints how long a goroutine on a deep stack is kept while cycles follow each other.
func steps(bytes, cycles int) {
	var stop atomic.Bool
	number := new(uint64)
	*number = 7
	begun := make(chan struct{})
	done := make(chan []int64)
	go func() {
		close(begun)
		done <- beside(bytes, 0, number, &stop, make([]int64, 0, 1<<24))
	}()
	<-begun
	time.Sleep(300 * time.Millisecond)
	for cycle := 0; cycle < cycles; cycle++ {
		runtime.GC()
	}
	stop.Store(true)
	times := <-done
	slices.Sort(times)
	at := func(share float64) float64 {
		return float64(times[int(float64(len(times)-1)*share)]) / 1000
	}
	fmt.Println("median", at(0.5))
	fmt.Println("thousandth", at(0.999))
	fmt.Println("longest", at(1))
	fmt.Println("cycles", cycles)
	fmt.Fprintln(os.Stderr, sink)
}

func main() {
	deepBytes := flag.Int("deep", 0, "bytes of the stack whose goroutine's steps are timed")
	cycles := flag.Int("cycles", 50, "cycles meanwhile")
	depth := flag.Int("depth", 100_000, "frames of the deep recursion")
	calls := flag.Int("calls", 20_000_000, "calls of a leaf")
	fibers := flag.Int("fibers", 100_000, "goroutines that wait")
	flag.Parse()
	if *deepBytes > 0 {
		steps(*deepBytes, *cycles)
		return
	}

	begun := cpu()
	for call := 0; call < *calls; call++ {
		sink += leaf(uint64(call))
	}
	fmt.Println("push_pop", since(begun)/float64(*calls))

	once, again := deep(*depth)
	fmt.Println("once", once)
	fmt.Println("again", again)

	runtime.GC()
	before := residentBytes()
	wait := make(chan struct{})
	ready := make(chan struct{})
	for fiber := 0; fiber < *fibers; fiber++ {
		go func() {
			ready <- struct{}{}
			<-wait
		}()
	}
	for fiber := 0; fiber < *fibers; fiber++ {
		<-ready
	}
	fmt.Println("idle", (residentBytes()-before)/float64(*fibers))
	close(wait)
	fmt.Fprintln(os.Stderr, sink)
}
