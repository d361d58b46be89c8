// What the workloads share: parameters, random numbers, figures, threads, the histogram.

import java.io.File;
import java.io.IOException;
import java.lang.management.GarbageCollectorMXBean;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongSupplier;
import java.util.function.LongUnaryOperator;

/** The arguments by their keys; each use names its default. */
final class Parameters {
    private final Map<String, String> given = new HashMap<>();

    Parameters(String[] arguments) {
        for (int at = 1; at < arguments.length; at++) {
            String[] parts = arguments[at].split("=", 2);
            if (parts.length < 2) {
                fail("not key=value: " + arguments[at]);
            }
            given.put(parts[0], parts[1]);
        }
    }

    long number(String key, long otherwise) {
        return given.containsKey(key) ? Long.parseUnsignedLong(given.get(key)) : otherwise;
    }

    String word(String key, String otherwise) {
        return given.getOrDefault(key, otherwise);
    }

    static long fail(String why) {
        System.err.println(why);
        System.exit(2);
        return 0;
    }
}

/** Splitmix64. */
final class Random {
    private long state;

    Random(long seed) {
        state = seed;
    }

    long next() {
        state += 0x9E3779B97F4A7C15L;
        long z = state;
        z = (z ^ z >>> 30) * 0xBF58476D1CE4E5B9L;
        z = (z ^ z >>> 27) * 0x94D049BB133111EBL;
        return z ^ z >>> 31;
    }

    /** A number less than `n`, which is positive. */
    long below(long n) {
        long drawn = next();
        // The upper half of the unsigned product.
        return Math.multiplyHigh(drawn, n) + (drawn >> 63 & n);
    }
}

/** What the clocks said when the measured part began. */
final class Watch {
    /** How the names of the collectors' threads begin, of all collectors. */
    private static final List<String> COLLECTORS = List.of(
            "GC Thread", "G1 ", "Shenandoah", "VM Thread", "ZDirector", "ZDriver", "ZStat",
            "ZUnmapper", "ZUncommitter", "ZWorker");

    private final long collections = collections();
    private final long collector = collectorTime();
    private final long cpu = cpuTime();
    final long wall = System.nanoTime();

    /** Prints the figures of the measured part, and the answer. */
    void stop(long answer) {
        stop(() -> answer);
    }

    /** The same with an answer that is found after the measured part. */
    void stop(LongSupplier answer) {
        long wallTaken = System.nanoTime() - wall;
        long cpuTaken = cpuTime() - cpu;
        System.out.println("rss_end_bytes " + resident());
        System.out.println("wall_ns " + wallTaken);
        System.out.println("cpu_ns " + cpuTaken);
        System.out.println("collections " + (collections() - collections));
        System.out.println("collector_cpu_ns " + (collectorTime() - collector));
        System.out.println("answer " + Long.toUnsignedString(answer.getAsLong()));
    }

    static long cpuTime() {
        var system = ManagementFactory.getOperatingSystemMXBean();
        return ((com.sun.management.OperatingSystemMXBean) system).getProcessCpuTime();
    }

    /** The same, of those threads that are still there, in nanoseconds instead of ticks of 10 ms. */
    static long cpuTimeOfThreads() {
        return cpuTimeOfThreads("");
    }

    /**
     * Processor time of the collector's threads, by their names. Serial has none of its own and
     * collects on the virtual machine's thread, which does little else.
     */
    private static long collectorTime() {
        long sum = 0;
        for (String name : COLLECTORS) {
            sum += cpuTimeOfThreads(name);
        }
        return sum;
    }

    /** Of the threads whose names begin so. */
    private static long cpuTimeOfThreads(String name) {
        long sum = 0;
        for (String thread : new File("/proc/self/task").list()) {
            try {
                Path folder = Path.of("/proc/self/task", thread);
                if (!Files.readString(folder.resolve("comm")).startsWith(name)) {
                    continue;
                }
                String text = Files.readString(folder.resolve("schedstat"));
                sum += Long.parseLong(text.substring(0, text.indexOf(' ')));
            } catch (IOException error) {
                // It has ended since.
                continue;
            }
        }
        return sum;
    }

    /** How many collections there were; a concurrent collector's pauses are none. */
    private static long collections() {
        long sum = 0;
        for (GarbageCollectorMXBean bean : ManagementFactory.getGarbageCollectorMXBeans()) {
            sum += bean.getName().endsWith("Pauses") ? 0 : bean.getCollectionCount();
        }
        return sum;
    }

    static long resident() {
        try (var lines = Files.lines(Path.of("/proc/self/status"))) {
            String line = lines.filter(text -> text.startsWith("VmRSS:")).findFirst().get();
            return Long.parseLong(line.replaceAll("[^0-9]", "")) << 10;
        } catch (IOException error) {
            throw new IllegalStateException(error);
        }
    }
}

/** Threads that share a workload. */
final class Threads {
    /** Runs the work once for each thread, and adds up what they return. */
    static long sum(long threads, LongUnaryOperator work) throws InterruptedException {
        AtomicLong sum = new AtomicLong();
        Thread[] all = new Thread[(int) threads];
        for (int at = 0; at < threads; at++) {
            long thread = at;
            all[at] = new Thread(() -> sum.addAndGet(work.applyAsLong(thread)));
            // What a thread throws (memory is exhausted) ends the program.
            all[at].setUncaughtExceptionHandler((of, error) -> {
                error.printStackTrace();
                Runtime.getRuntime().halt(1);
            });
            all[at].start();
        }
        for (Thread thread : all) {
            thread.join();
        }
        return sum.get();
    }
}

/** Counts in buckets of 1/128 of their value, exact below 256 ns. */
final class Histogram {
    private final long[] counts = new long[58 * 128];

    void record(long value) {
        long v = Math.max(value, 0);
        int shift = Math.max(56 - Long.numberOfLeadingZeros(v), 0);
        counts[(shift << 7) + (int) (v >> shift)]++;
    }

    void add(Histogram other) {
        for (int at = 0; at < counts.length; at++) {
            counts[at] += other.counts[at];
        }
    }

    /** Prints each bucket's largest value and its count. */
    void print() {
        StringBuilder out = new StringBuilder();
        for (int at = 0; at < counts.length; at++) {
            if (counts[at] > 0) {
                int shift = Math.max((at >> 7) - 1, 0);
                long value = (at - ((long) shift << 7) + 1 << shift) - 1;
                out.append("latency_ns ").append(value).append(' ');
                out.append(counts[at]).append('\n');
            }
        }
        System.out.print(out);
    }
}
