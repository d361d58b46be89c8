// The spike of explicit free, in Go: 2 GiB of objects of 1 KiB, of which a tenth, by the MiB, lives
// on; the rest is forgotten and collected at once, as the others free at once.
//
//	spike-go load|quiet
package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	chunks      = 2048
	chunkLength = 1024
	liveOne     = 10
)

type object [128]uint64

var sink [10]*[16]uint64

func resident() int64 {
	file, err := os.Open("/proc/self/status")
	if err != nil {
		panic(err)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if rest, found := strings.CutPrefix(lines.Text(), "VmRSS:"); found {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				panic(err)
			}
			return kib << 10
		}
	}
	panic("no resident memory")
}

// load answers every 100 µs until told to stop; latencies in nanoseconds, for each phase.
func load(phase *atomic.Int32, done chan [3][]int64) {
	var latency [3][]int64
	due := time.Now()
	for {
		now := phase.Load()
		if now > 2 {
			done <- latency
			return
		}
		for time.Until(due) > 0 {
		}
		for n := range sink {
			sink[n] = new([16]uint64)
			sink[n][15] = uint64(n)
		}
		latency[now] = append(latency[now], time.Since(due).Nanoseconds())
		due = due.Add(100 * time.Microsecond)
	}
}

func main() {
	own := resident()
	all := make([][]*object, chunks)
	for n := range all {
		all[n] = make([]*object, chunkLength)
		for at := range all[n] {
			all[n][at] = new(object)
			for word := range all[n][at] {
				all[n][at][word] = uint64(n)
			}
		}
	}
	var phase atomic.Int32
	done := make(chan [3][]int64)
	if os.Args[1] == "load" {
		go load(&phase, done)
	}
	time.Sleep(2 * time.Second)
	full := resident()
	since := time.Now()
	phase.Store(1)
	for n := range all {
		if n%liveOne != 0 {
			all[n] = nil
		}
	}
	runtime.GC()
	live := int64((chunks + liveOne - 1) / liveOne * chunkLength * 1024)
	reached := time.Duration(0)
	for time.Since(since) < 6*time.Second {
		if resident()-own <= live/5*6 {
			reached = time.Since(since)
			break
		}
		time.Sleep(2 * time.Millisecond)
	}
	time.Sleep(3*time.Second - min(time.Since(since), 3*time.Second))
	end := resident()
	phase.Store(3)
	fmt.Println("full-mib", (full-own)>>20)
	fmt.Println("end-mib", (end-own)>>20)
	if reached > 0 {
		fmt.Println("live-ns", reached.Nanoseconds())
	}
	if os.Args[1] == "load" {
		latency := <-done
		for n, name := range []string{"before", "back"} {
			sort.Slice(latency[n], func(a, b int) bool { return latency[n][a] < latency[n][b] })
			at := func(part float64) int64 { return latency[n][int(part*float64(len(latency[n])-1))] }
			fmt.Printf("%s-p50 %d\n%s-p99.9 %d\n", name, at(0.5), name, at(0.999))
			fmt.Printf("%s-p99.99 %d\n%s-max %d\n", name, at(0.9999), name, at(1))
		}
	}
	runtime.KeepAlive(all)
}
