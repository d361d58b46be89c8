// The latency bench's rival: the program of ../benches/latency/ring.rs, in Go.
//
// It takes the same arguments and prints the same lines: a checksum, figures, and histograms as
// values in nanoseconds with their counts. Settings are Go's defaults (GOGC=100, GOMAXPROCS as
// many as there are processors). What remains unequal is listed in ../README.md.
package main

import (
	"bufio"
	"flag"
	"fmt"
	"math"
	"math/bits"
	"os"
	"runtime"
	"runtime/metrics"
	"strings"
	"sync"
	"syscall"
	"time"
)

const words = 128
const spread = 0x9E3779B97F4A7C15

type message [words]uint64

var filling = func() (filling message) {
	for at := range filling {
		filling[at] = uint64(at) * spread
	}
	return
}()

// histogram has buckets of 1/1024 of their value, exact below 2048 ns.
type histogram struct {
	counts [38 * 1024]uint64
}

func (h *histogram) record(value int64) {
	v := uint64(max(value, 0))
	shift := max(bits.Len64(v)-11, 0)
	at := shift<<10 + int(v>>shift)
	h.counts[min(at, len(h.counts)-1)]++
}

func (h *histogram) print(out *bufio.Writer, kind string) {
	for at, count := range h.counts {
		if count > 0 {
			shift := max(at>>10-1, 0)
			value := (uint64(at-shift<<10)+1)<<shift - 1
			fmt.Fprintf(out, "%s %d %d\n", kind, value, count)
		}
	}
}

func (h *histogram) add(other *histogram) {
	for at, count := range other.counts {
		h.counts[at] += count
	}
}

type worker struct {
	ring             []*message
	slot             int
	number           uint64
	checksum         uint64
	latency, service histogram
}

func (w *worker) step() {
	new := new(message)
	*new = filling
	new[0] = w.number
	new[words-1] = w.number * spread
	if old := w.ring[w.slot]; old != nil {
		w.checksum += old[0] + old[words-1]
	}
	w.ring[w.slot] = new
	w.number++
	w.slot++
	if w.slot == len(w.ring) {
		w.slot = 0
	}
}

// One clock reading a message: a message's time begins where the one before ended.
func (w *worker) atFullSpeed(messages int) {
	base := time.Now()
	before := time.Duration(0)
	for range messages {
		w.step()
		now := time.Since(base)
		w.latency.record(int64(now - before))
		before = now
	}
}

// The times at which messages are due do not wait for the messages.
func (w *worker) paced(messages int, interval time.Duration) {
	base := time.Now()
	due := time.Duration(0)
	for range messages {
		due += interval
		begun := time.Since(base)
		for begun < due {
			begun = time.Since(base)
		}
		w.step()
		done := time.Since(base)
		w.latency.record(int64(done - due))
		w.service.record(int64(done - begun))
	}
}

func (w *worker) sum() (sum uint64) {
	for _, left := range w.ring {
		for _, word := range left {
			sum += word
		}
	}
	return
}

func seconds(time syscall.Timeval) float64 {
	return float64(time.Sec) + float64(time.Usec)/1e6
}

// figures are those of the run so far.
func figures() map[string]float64 {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	samples := []metrics.Sample{
		{Name: "/gc/cycles/total:gc-cycles"},
		{Name: "/cpu/classes/gc/mark/assist:cpu-seconds"},
		{Name: "/sched/pauses/total/gc:seconds"},
	}
	metrics.Read(samples)
	// The end of the last bucket that holds a pause.
	longest := 0.0
	pauses := samples[2].Value.Float64Histogram()
	for at, count := range pauses.Counts {
		if count > 0 {
			longest = pauses.Buckets[at+1]
			if math.IsInf(longest, 1) {
				longest = pauses.Buckets[at]
			}
		}
	}
	var memory runtime.MemStats
	runtime.ReadMemStats(&memory)
	return map[string]float64{
		"in_line_s":      inLine(),
		"cpu_s":          seconds(usage.Utime) + seconds(usage.Stime),
		"cycles":         float64(samples[0].Value.Uint64()),
		"assist_cpu_s":   samples[1].Value.Float64(),
		"pause_max_ns":   longest * 1e9,
		"pause_total_ns": float64(memory.PauseTotalNs),
	}
}

// inLine is how long the threads have waited for a processor, in seconds.
func inLine() (wait float64) {
	threads, _ := os.ReadDir("/proc/self/task")
	for _, thread := range threads {
		stat, err := os.ReadFile("/proc/self/task/" + thread.Name() + "/schedstat")
		var on, in float64
		if err != nil {
			continue
		}
		if _, err := fmt.Sscan(string(stat), &on, &in); err == nil {
			wait += in / 1e9
		}
	}
	return
}

// resident prints VmHWM and VmRSS as figures.
func resident(out *bufio.Writer) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(status)) {
		var kib uint64
		for prefix, name := range map[string]string{"VmHWM:": "rss_peak_bytes", "VmRSS:": "rss_end_bytes"} {
			if rest, found := strings.CutPrefix(line, prefix); found {
				if _, err := fmt.Sscan(rest, &kib); err == nil {
					fmt.Fprintf(out, "figure %s %d\n", name, kib<<10)
				}
			}
		}
	}
}

func main() {
	threads := flag.Int("threads", 1, "goroutines, each with a ring")
	slots := flag.Int("slots", 1, "places in a ring")
	warmUp := flag.Int("warm-up", 0, "messages not measured")
	messages := flag.Int("messages", 0, "messages measured, each thread")
	interval := flag.Int64("interval-ns", 0, "between the times messages are due; 0: full speed")
	flag.Parse()

	workers := make([]*worker, *threads)
	var ready, done, summed sync.WaitGroup
	start, verify := make(chan struct{}), make(chan struct{})
	for thread := range workers {
		w := &worker{ring: make([]*message, *slots), number: uint64(thread) << 40}
		workers[thread] = w
		ready.Add(1)
		done.Add(1)
		summed.Add(1)
		go func() {
			for range *slots + *warmUp {
				w.step()
			}
			ready.Done()
			<-start
			if *interval == 0 {
				w.atFullSpeed(*messages)
			} else {
				w.paced(*messages, time.Duration(*interval))
			}
			done.Done()
			<-verify
			w.checksum += w.sum()
			summed.Done()
		}()
	}
	ready.Wait()
	before, begun := figures(), time.Now()
	close(start)
	done.Wait()
	wall, after := time.Since(begun), figures()
	out := bufio.NewWriter(os.Stdout)
	resident(out)
	close(verify)
	summed.Wait()

	var latency, service histogram
	checksum := uint64(0)
	for _, w := range workers {
		latency.add(&w.latency)
		service.add(&w.service)
		checksum += w.checksum
	}
	fmt.Fprintf(out, "checksum %016x\n", checksum)
	fmt.Fprintf(out, "figure wall_s %f\n", wall.Seconds())
	for name, figure := range after {
		// Counts are of the measured part; the longest of anything is since the start.
		if !strings.Contains(name, "_max") {
			figure -= before[name]
		}
		fmt.Fprintf(out, "figure %s %f\n", name, figure)
	}
	latency.print(out, "latency")
	service.print(out, "service")
	if err := out.Flush(); err != nil {
		panic(err)
	}
}
