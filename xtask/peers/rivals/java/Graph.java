// Marking: forced full collections of graphs, of nodes that are all alike and of mixed types.

import java.util.ArrayList;
import java.util.Arrays;
import java.util.function.LongSupplier;

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
        String kind = p.word("kind", "random");
        if (kind.equals("mixed")) {
            Mixed.run(nodes / Mixed.UNIT, p.number("seed", 1));
            return;
        }
        Node[] roots = build(kind, nodes, p.number("seed", 1));
        collect(() -> walk(roots, nodes));
    }

    /** Measures five collections; the walk is not. */
    static void collect(LongSupplier walk) {
        System.gc();
        Watch watch = new Watch();
        for (int round = 0; round < 5; round++) {
            long cpu = Watch.cpuTimeOfThreads();
            long wall = System.nanoTime();
            System.gc();
            System.out.println("collect_ns " + (System.nanoTime() - wall));
            System.out.println("collect_cpu_ns " + (Watch.cpuTimeOfThreads() - cpu));
        }
        watch.stop(walk);
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

/** Objects of several types, two of them with vectors, in units of eight nodes. */
final class Mixed {
    static final int UNIT = 8;
    private static final int ITEMS = 3;
    private static final int LINKS_END = 8;
    private static final int ROOTS = 16;

    static final class Value {
        final long word;
        final long first;
        final long second;
        final long third;
        final long fourth;

        Value(long word, long content) {
            this.word = word;
            first = content;
            second = content;
            third = content;
            fourth = content;
        }
    }

    static final class Item {
        final Value value;
        Note note;
        final long word;

        Item(Value value, long word) {
            this.value = value;
            this.word = word;
        }
    }

    static final class Note {
        Folder about;
        final long word;

        Note(long word) {
            this.word = word;
        }
    }

    static final class Folder {
        final Item[] items = new Item[ITEMS];
        Folder[] links;
        final Note note;
        final long word;

        Folder(long unit) {
            word = unit * UNIT;
            for (int at = 0; at < ITEMS; at++) {
                Value value = new Value(word + 4 + at, word);
                items[at] = new Item(value, word + 1 + at);
            }
            note = new Note(word + 7);
        }
    }

    static void run(int units, long seed) {
        Folder[] roots = build(units, new Random(seed));
        Graph.collect(() -> new Walk(units * UNIT).from(roots));
    }

    /** Makes all units, then the references between them, and returns the roots. */
    private static Folder[] build(int units, Random random) {
        Folder[] folders = new Folder[units];
        for (int unit = 0; unit < units; unit++) {
            folders[unit] = new Folder(unit);
        }
        for (Folder from : folders) {
            for (Item item : from.items) {
                item.note = folders[(int) random.below(units)].note;
            }
            from.note.about = folders[(int) random.below(units)];
            int count = (int) random.below(LINKS_END);
            if (count > 0) {
                from.links = new Folder[count];
                for (int at = 0; at < count; at++) {
                    from.links[at] = folders[(int) random.below(units)];
                }
            }
        }
        return Arrays.copyOf(folders, Math.min(ROOTS, units));
    }

    /** Finds what the roots reach, and makes a number of it. */
    private static final class Walk {
        private final long[] seen;
        private final ArrayList<Folder> stack = new ArrayList<>();
        private long reached;
        private long words;

        Walk(int nodes) {
            seen = new long[nodes / 64 + 1];
        }

        private boolean isNew(long word) {
            int at = (int) (word >> 6);
            if ((seen[at] >>> word & 1) == 1) {
                return false;
            }
            seen[at] |= 1L << word;
            reached++;
            words ^= word;
            return true;
        }

        private void visit(Note note) {
            if (isNew(note.word)) {
                stack.add(note.about);
            }
        }

        long from(Folder[] roots) {
            stack.addAll(Arrays.asList(roots));
            while (!stack.isEmpty()) {
                Folder folder = stack.remove(stack.size() - 1);
                if (!isNew(folder.word)) {
                    continue;
                }
                if (folder.links != null) {
                    stack.addAll(Arrays.asList(folder.links));
                }
                visit(folder.note);
                for (Item item : folder.items) {
                    visit(item.note);
                    isNew(item.word);
                    isNew(item.value.word);
                }
            }
            return reached * 31 + words;
        }
    }
}
