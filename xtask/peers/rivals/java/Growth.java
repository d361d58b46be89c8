// What a byte costs that is allocated, while more lives and on more threads.

final class Growth {
    private static final int DEPTH = 4;
    private static final long TREE_BYTES = 31 * 32;

    /** 40 B, or 48 where references have 8. */
    static final class Leafy {
        final Leafy left;
        final Leafy right;
        final long number;
        final long depth;

        Leafy(Leafy left, Leafy right, long number, long depth) {
            this.left = left;
            this.right = right;
            this.number = number;
            this.depth = depth;
        }

        static Leafy make(int depth, long number) {
            if (depth == 0) {
                return new Leafy(null, null, number, 0);
            }
            return new Leafy(make(depth - 1, number), make(depth - 1, number), number, depth);
        }
    }

    /** A thread's trees. */
    private final Leafy[] trees;
    private final Random random;
    private long sum;

    private Growth(long places, long first, long seed) {
        trees = new Leafy[(int) places];
        for (int at = 0; at < places; at++) {
            trees[at] = Leafy.make(DEPTH, first + at);
        }
        random = new Random(seed);
    }

    /** Makes the trees of these numbers, each in place of a random one. */
    private void replace(long from, long to) {
        for (long number = from; number < to; number++) {
            replace(number);
        }
    }

    private void replace(long number) {
        int at = (int) random.below(trees.length);
        Leafy old = trees[at];
        trees[at] = Leafy.make(DEPTH, number);
        Leafy right = old;
        while (right.right != null) {
            right = right.right;
        }
        sum += old.number + right.number;
    }

    static void run(Parameters p) throws InterruptedException {
        long threads = p.number("threads", 1);
        long seed = p.number("seed", 1);
        long live = (p.number("live", 64) << 20) / TREE_BYTES;
        long part = live / threads;
        long count = p.number("count", 4 * live) / threads;
        Growth[] plots = new Growth[(int) threads];
        Threads.sum(threads, thread -> {
            Growth plot = new Growth(part, thread * part, seed + thread);
            // The heap gets the size that it will keep.
            plot.replace(live, live + part);
            plots[(int) thread] = plot;
            return 0;
        });
        System.gc();
        Watch watch = new Watch();
        long answer = Threads.sum(threads, thread -> {
            plots[(int) thread].replace(live + part, live + part + count);
            return plots[(int) thread].sum;
        });
        System.out.println("allocated_bytes " + count * threads * TREE_BYTES);
        watch.stop(answer);
    }
}
