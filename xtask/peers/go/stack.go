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
	"strconv"
	"strings"
	"syscall"
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

func main() {
	depth := flag.Int("depth", 100_000, "frames of the deep recursion")
	calls := flag.Int("calls", 20_000_000, "calls of a leaf")
	fibers := flag.Int("fibers", 100_000, "goroutines that wait")
	flag.Parse()

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
