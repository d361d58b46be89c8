// Java's side of `cargo xtask bench --peers`: the shared workloads as a Java programmer writes
// them.
//
// One program, `java FLAGS Peers WORKLOAD key=value ...`; the flags choose the collector and its
// heap. It begins with the workloads, each a class: Trees, Alloc, Ring (the limit too), Graph,
// Spike. Then come what they share: parameters, random numbers, figures, the histogram.
//
// What remains unequal: objects have a header (12 B, 16 in arrays) and references of 4 B where the
// heap allows; the first thousands of rounds are interpreted, then compiled, on threads whose
// processor time counts; and all collectors but ZGC and Shenandoah move objects to what is best for
// the next walk. What is allocated is stored in a field of an object that other threads see, so
// that the compiler cannot keep it out of the heap.

import java.io.File;
import java.io.IOException;
import java.lang.management.GarbageCollectorMXBean;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongSupplier;
import java.util.function.LongUnaryOperator;

public final class Peers {
    public static void main(String[] arguments) throws Exception {
        Parameters parameters = new Parameters(arguments);
        switch (arguments.length > 0 ? arguments[0] : "") {
            case "trees" -> Trees.run(parameters);
            case "alloc" -> Alloc.run(parameters);
            case "ring" -> Ring.run(parameters);
            case "graph" -> Graph.run(parameters);
            case "spike" -> Spike.run(parameters);
            case "limit" -> Ring.runLimited(parameters);
            default -> {
                System.err.println("unknown workload: " + String.join(" ", arguments));
                System.exit(3);
            }
        }
    }
}

/** Binary trees: a long-lived one, and short-lived ones of all depths. */
final class Trees {
    static final class Node {
        final Node left;
        final Node right;

        Node(Node left, Node right) {
            this.left = left;
            this.right = right;
        }

        static Node make(long depth) {
            if (depth == 0) {
                return new Node(null, null);
            }
            return new Node(make(depth - 1), make(depth - 1));
        }

        long count() {
            return left == null ? 1 : 1 + left.count() + right.count();
        }
    }

    static void run(Parameters p) throws InterruptedException {
        long depth = p.number("depth", 18);
        long threads = p.number("threads", 1);
        Watch watch = new Watch();
        long answer = Node.make(depth + 1).count();
        Node longLived = Node.make(depth);
        answer += Threads.sum(threads, thread -> shortLived(depth, thread, threads));
        watch.stop(answer + longLived.count());
    }

    private static long shortLived(long depth, long thread, long threads) {
        long sum = 0;
        for (long d = 4; d <= depth; d += 2) {
            for (long i = thread; i < 1L << (depth - d + 4); i += threads) {
                sum += d * Node.make(d).count();
            }
        }
        return sum;
    }
}

/** Allocation throughput: objects without references, each dead when the next is made. */
final class Alloc {
    /** A header of 12 B and a word of 4: no array with an element is as small as 16 B. */
    static final class Small {
        int word;
    }

    /** Keeps a thread's last object. */
    static final class Holder {
        Small small = new Small();
        long[] array = new long[1];
    }

    static void run(Parameters p) throws InterruptedException {
        long threads = p.number("threads", 1);
        long count = p.number("count", 50_000_000);
        int size = (int) p.number("size", 64);
        Holder[] holders = new Holder[(int) threads];
        for (int thread = 0; thread < threads; thread++) {
            holders[thread] = new Holder();
        }
        Watch watch = new Watch();
        watch.stop(Threads.sum(threads, thread -> {
            Holder holder = holders[(int) thread];
            return switch (size) {
                case 16 -> small(holder, count);
                // Sizes that the compiler knows, as it does where a class is allocated.
                case 32 -> array32(holder, count);
                case 64 -> array64(holder, count);
                case 128 -> array128(holder, count);
                case 512 -> array512(holder, count);
                case 4096 -> array4096(holder, count);
                default -> Parameters.fail("no type of that size: " + size);
            };
        }));
    }

    private static long small(Holder holder, long count) {
        long sum = 0;
        for (long i = 0; i < count; i++) {
            Small object = new Small();
            object.word = (int) i;
            sum += holder.small.word;
            holder.small = object;
        }
        return sum;
    }

    private static long array32(Holder holder, long count) {
        long sum = 0;
        for (long i = 0; i < count; i++) {
            sum += replace(holder, new long[2], i);
        }
        return sum;
    }

    private static long array64(Holder holder, long count) {
        long sum = 0;
        for (long i = 0; i < count; i++) {
            sum += replace(holder, new long[6], i);
        }
        return sum;
    }

    private static long array128(Holder holder, long count) {
        long sum = 0;
        for (long i = 0; i < count; i++) {
            sum += replace(holder, new long[14], i);
        }
        return sum;
    }

    private static long array512(Holder holder, long count) {
        long sum = 0;
        for (long i = 0; i < count; i++) {
            sum += replace(holder, new long[62], i);
        }
        return sum;
    }

    private static long array4096(Holder holder, long count) {
        long sum = 0;
        for (long i = 0; i < count; i++) {
            sum += replace(holder, new long[510], i);
        }
        return sum;
    }

    private static long replace(Holder holder, long[] object, long number) {
        object[0] = number;
        long before = holder.array[0];
        holder.array = object;
        return before;
    }
}

/**
 * The latency ring: messages of 1 KiB in a table, of which a random one is replaced again and
 * again, at full speed or at a fixed rate; and the same under a memory limit.
 */
final class Ring {
    private static final int WORDS = 128;

    final long[][] table;
    private final Random random;
    final Histogram latency = new Histogram();
    /** The number of the next message. */
    private long made;
    private long sum;

    /** With messages numbered on from `first`; replacements are from `next`. */
    Ring(long places, long first, long next, long seed) {
        table = fill(places, first);
        random = new Random(seed);
        made = next;
    }

    static long[] make(long number) {
        long[] message = new long[WORDS];
        for (int at = 0; at < WORDS; at++) {
            message[at] = number + at;
        }
        return message;
    }

    /** A table of messages, numbered on from `first`. */
    static long[][] fill(long places, long first) {
        long[][] table = new long[(int) places][];
        for (int at = 0; at < places; at++) {
            table[at] = make(first + at);
        }
        return table;
    }

    void step() {
        int at = (int) random.below(table.length);
        long[] old = table[at];
        sum += old[0] + old[WORDS - 1];
        table[at] = make(made++);
    }

    /** One look at the clock a message: a message's time begins where the one before ended. */
    private void atFullSpeed(long count) {
        long before = System.nanoTime();
        for (long k = 0; k < count; k++) {
            step();
            long now = System.nanoTime();
            latency.record(now - before);
            before = now;
        }
    }

    /** The times at which messages are due do not wait for the messages. */
    private void atRate(long count, long rate) {
        long base = System.nanoTime();
        for (long k = 0; k < count; k++) {
            long due = base + k * 1_000_000_000 / rate;
            while (System.nanoTime() < due) {
                Thread.onSpinWait();
            }
            step();
            latency.record(System.nanoTime() - due);
        }
    }

    static void run(Parameters p) throws InterruptedException {
        long threads = p.number("threads", 1);
        long rate = p.number("rate", 0);
        long seed = p.number("seed", 1);
        long live = p.number("live", 200_000);
        long part = live / threads;
        long count = p.number("count", 2_000_000) / threads;
        Ring[] rings = new Ring[(int) threads];
        Threads.sum(threads, thread -> {
            rings[(int) thread] = new Ring(part, thread * part, live, seed + thread);
            return 0;
        });
        Watch watch = new Watch();
        watch.stop(Threads.sum(threads, thread -> {
            Ring ring = rings[(int) thread];
            if (rate == 0) {
                ring.atFullSpeed(count);
            } else {
                ring.atRate(count, rate);
            }
            return ring.sum;
        }));
        Histogram all = new Histogram();
        for (Ring ring : rings) {
            all.add(ring.latency);
        }
        all.print();
    }

    /** The limit itself is the harness's: `-Xmx`. */
    static void runLimited(Parameters p) {
        long count = p.number("count", 3_000_000);
        long live = p.number("live", 400) << 10;
        Ring ring = new Ring(live, 0, live, p.number("seed", 1));
        Watch watch = new Watch();
        for (long k = 0; k < count; k++) {
            ring.step();
        }
        watch.stop(ring.sum);
    }
}

/** Marking: forced full collections of a graph; the collector's threads are set by flags. */
final class Graph {
    private static final int LISTS = 1000;

    static final class Node {
        Node first;
        Node second;
        final long word;

        Node(long word) {
            this.word = word;
        }
    }

    static void run(Parameters p) {
        int nodes = (int) p.number("nodes", 2_000_000);
        Node[] roots = build(p.word("kind", "random"), nodes, p.number("seed", 1));
        System.gc();
        Watch watch = new Watch();
        for (int round = 0; round < 5; round++) {
            long cpu = Watch.cpuTimeOfThreads();
            long wall = System.nanoTime();
            System.gc();
            System.out.println("collect_ns " + (System.nanoTime() - wall));
            System.out.println("collect_cpu_ns " + (Watch.cpuTimeOfThreads() - cpu));
        }
        watch.stop(() -> walk(roots, nodes));
    }

    /** Makes the nodes, then their edges, and returns the roots; the table of nodes dies. */
    private static Node[] build(String kind, int n, long seed) {
        Random random = new Random(seed);
        Node[] nodes = new Node[n];
        for (int i = 0; i < n; i++) {
            nodes[i] = new Node(i);
        }
        switch (kind) {
            case "random" -> {
                for (Node node : nodes) {
                    node.first = nodes[(int) random.below(n)];
                    node.second = nodes[(int) random.below(n)];
                }
                return Arrays.copyOf(nodes, Math.min(16, n));
            }
            case "tree" -> {
                return linkTree(nodes);
            }
            case "shuffled" -> {
                shuffle(nodes, random);
                return linkTree(nodes);
            }
            case "lists" -> {
                shuffle(nodes, random);
                for (int j = LISTS; j < n; j++) {
                    nodes[j - LISTS].first = nodes[j];
                }
                return Arrays.copyOf(nodes, Math.min(LISTS, n));
            }
            default -> {
                Parameters.fail("unknown kind of graph: " + kind);
                return null;
            }
        }
    }

    /** Makes the nodes a complete tree in the order in which they stand. */
    private static Node[] linkTree(Node[] nodes) {
        int n = nodes.length;
        for (int i = 0; 2 * i + 1 < n; i++) {
            nodes[i].first = nodes[2 * i + 1];
            nodes[i].second = 2 * i + 2 < n ? nodes[2 * i + 2] : null;
        }
        return new Node[] {nodes[0]};
    }

    private static void shuffle(Node[] nodes, Random random) {
        for (int i = nodes.length - 1; i > 0; i--) {
            int j = (int) random.below(i + 1);
            Node node = nodes[i];
            nodes[i] = nodes[j];
            nodes[j] = node;
        }
    }

    /** Finds what the roots reach, and makes a number of it. */
    private static long walk(Node[] roots, int n) {
        long[] seen = new long[n / 64 + 1];
        long reached = 0;
        long words = 0;
        // Each node is pushed once, when it is seen.
        Node[] stack = new Node[n];
        int top = 0;
        for (Node root : roots) {
            top = push(root, stack, top, seen);
        }
        while (top > 0) {
            Node node = stack[--top];
            reached++;
            words ^= node.word;
            top = push(node.first, stack, top, seen);
            top = push(node.second, stack, top, seen);
        }
        return reached * 31 + words;
    }

    private static int push(Node node, Node[] stack, int top, long[] seen) {
        if (node == null || (seen[(int) (node.word >> 6)] >>> node.word & 1) == 1) {
            return top;
        }
        seen[(int) (node.word >> 6)] |= 1L << node.word;
        stack[top] = node;
        return top + 1;
    }
}

/** A spike: much is made and dropped at once, and a light load goes on. */
final class Spike {
    /** When resident memory is read, in milliseconds after the drop. */
    private static final List<Long> MOMENTS =
            List.of(100L, 250L, 500L, 1000L, 2000L, 5000L, 10_000L);

    static void run(Parameters p) throws InterruptedException {
        long replacements = p.number("seconds", 10) * 1000;
        long live = p.number("live", 64) << 10;
        Ring ring = new Ring(live, 0, live, p.number("seed", 1));
        makeAndDrop(p.number("drop", 2048) << 10);
        Watch watch = new Watch();
        for (long k = 0; ; k++) {
            long wait = watch.wall + k * 1_000_000 - System.nanoTime();
            if (wait > 0) {
                Thread.sleep(wait / 1_000_000, (int) (wait % 1_000_000));
            }
            if (MOMENTS.contains(k)) {
                System.out.println("rss " + k + " " + Watch.resident());
            }
            if (k == replacements) {
                break;
            }
            ring.step();
        }
        long answer = 0;
        for (long[] left : ring.table) {
            answer += left[0];
        }
        watch.stop(answer);
    }

    private static void makeAndDrop(long messages) {
        Ring.fill(messages, 0);
    }
}

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
    private final long collections = collections();
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
        System.out.println("answer " + Long.toUnsignedString(answer.getAsLong()));
    }

    static long cpuTime() {
        var system = ManagementFactory.getOperatingSystemMXBean();
        return ((com.sun.management.OperatingSystemMXBean) system).getProcessCpuTime();
    }

    /** The same, of those threads that are still there, in nanoseconds instead of ticks of 10 ms. */
    static long cpuTimeOfThreads() {
        long sum = 0;
        for (String thread : new File("/proc/self/task").list()) {
            try {
                Path file = Path.of("/proc/self/task", thread, "schedstat");
                String text = Files.readString(file);
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
