// Java's side of `cargo xtask bench --peers`: the shared workloads as a Java programmer writes
// them.
//
// One program, `java FLAGS Peers WORKLOAD key=value ...`; the flags choose the collector and its
// heap. A workload is a class: Trees, Alloc, Ring (the limit too) and Spike here, Graph and Mixed in
// Graph.java, Packages and Growth in their own. What they share (parameters, random numbers, figures) is in Shared.java.
//
// What remains unequal: objects have a header (12 B, 16 in arrays) and references of 4 B where the
// heap allows; the first thousands of rounds are interpreted, then compiled, on threads whose
// processor time counts; and all collectors but ZGC and Shenandoah move objects to what is best for
// the next walk. What is allocated is stored in a field of an object that other threads see, so
// that the compiler cannot keep it out of the heap.

import java.util.List;

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
            case "growth" -> Growth.run(parameters);
            case "packages" -> Packages.run(parameters);
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
