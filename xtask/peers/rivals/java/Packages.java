// The package graph of a Linux distribution, queried while packages are replaced.

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicReferenceArray;

final class Packages {
    private static final int KEPT = 1024;
    private static final int GROUP_MAX = 8;
    private static final int DEPENDENTS_MAX = 200;
    private static final int NOBODY = -1;

    /** One version of a package. */
    static final class Version {
        final int id;
        final long serial;
        final String name;
        final String version;
        final String section;
        final long kib;
        /** Lists that are replaced as a whole, never changed in place; null is empty. */
        volatile Version[] depends;
        volatile Version[] recommends;
        /** Who needs this one, sorted by number; both under this object's lock. */
        final ArrayList<Version> dependents;
        final ArrayList<Version> recommenders;

        Version(int id, String[] row) {
            this.id = id;
            serial = 0;
            name = row[0];
            version = row[1];
            section = row[2];
            kib = Long.parseLong(row[3]);
            dependents = new ArrayList<>();
            recommenders = new ArrayList<>();
        }

        /** The next version of another one: the same name, the same edges. */
        Version(Version old) {
            id = old.id;
            serial = old.serial + 1;
            name = old.name;
            int end = old.version.indexOf("+r");
            String first = end < 0 ? old.version : old.version.substring(0, end);
            version = first + "+r" + serial;
            section = old.section;
            kib = old.kib;
            depends = old.depends;
            recommends = old.recommends;
            synchronized (old) {
                dependents = new ArrayList<>(old.dependents);
                recommenders = new ArrayList<>(old.recommenders);
            }
        }

        /** Copies who needs the package, so that the lock is held for little. */
        synchronized void sources(boolean withRecommends, ArrayList<Version> into) {
            into.addAll(dependents);
            if (withRecommends) {
                into.addAll(recommenders);
            }
        }

        synchronized int dependentsCount() {
            return dependents.size();
        }

        /** Has a new object take the place of the old one in the lists that have it. */
        synchronized void put(Version made, boolean asDependent, boolean asRecommender) {
            if (asDependent) {
                put(dependents, made);
            }
            if (asRecommender) {
                put(recommenders, made);
            }
        }

        private static void put(ArrayList<Version> sources, Version made) {
            int low = 0;
            int high = sources.size();
            while (low < high) {
                int middle = (low + high) >>> 1;
                if (sources.get(middle).id < made.id) {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            if (low < sources.size() && sources.get(low).id == made.id) {
                sources.set(low, made);
            }
        }

        /** A new object's edges lead to its group, and its targets' lists to it. */
        void settle(List<Version> group) {
            relink(group);
            for (Version other : group) {
                put(other, true, true);
            }
            for (Version target : orEmpty(depends)) {
                target.put(this, true, false);
            }
            for (Version target : orEmpty(recommends)) {
                target.put(this, false, true);
            }
        }

        void relink(List<Version> news) {
            depends = relinked(depends, news);
            recommends = relinked(recommends, news);
        }

        /** A copy with new objects in the places of the old, or the list if it has none of them. */
        private static Version[] relinked(Version[] list, List<Version> news) {
            Version[] copy = list;
            for (int at = 0; list != null && at < list.length; at++) {
                for (Version made : news) {
                    if (made.id == list[at].id && made != list[at]) {
                        if (copy == list) {
                            copy = list.clone();
                        }
                        copy[at] = made;
                    }
                }
            }
            return copy;
        }
    }

    private static final Version[] NONE = {};

    private static Version[] orEmpty(Version[] list) {
        return list == null ? NONE : list;
    }

    /** A package that a walk has met. */
    record Step(Version version, Step previous, int depth) {}

    record Answer(Step[] steps) {
        long worth() {
            long sum = 0;
            for (Step step : steps) {
                sum += 31 * (step.version.id + 1L) + step.depth;
            }
            return sum;
        }
    }

    private final AtomicReferenceArray<Version> catalog;
    /** Where all edges lead. */
    private final int[] hubs;

    /** Builds the graph of the archive, a row a package, six columns. */
    private Packages(String path) throws IOException {
        List<String> rows = Files.readAllLines(Path.of(path));
        catalog = new AtomicReferenceArray<>(rows.size());
        Map<String, Version> names = new HashMap<>();
        for (int id = 0; id < rows.size(); id++) {
            Version version = new Version(id, rows.get(id).split("\t", -1));
            catalog.set(id, version);
            names.put(version.name, version);
        }
        ArrayList<Integer> all = new ArrayList<>();
        for (int id = 0; id < rows.size(); id++) {
            String[] row = rows.get(id).split("\t", -1);
            Version from = catalog.get(id);
            from.depends = targets(names, row[4], all);
            for (Version to : orEmpty(from.depends)) {
                to.dependents.add(from);
            }
            from.recommends = targets(names, row[5], all);
            for (Version to : orEmpty(from.recommends)) {
                to.recommenders.add(from);
            }
        }
        hubs = all.stream().mapToInt(Integer::intValue).toArray();
    }

    /** Unknown and repeated names are skipped. */
    private static Version[] targets(
            Map<String, Version> names, String list, ArrayList<Integer> all) {
        ArrayList<Version> targets = new ArrayList<>();
        for (String name : list.split(" ")) {
            Version target = names.get(name);
            if (target != null && !targets.contains(target)) {
                targets.add(target);
                all.add(target.id);
            }
        }
        return targets.isEmpty() ? null : targets.toArray(NONE);
    }

    /** What a walk needs and the next one uses again. */
    private final class Walker {
        private final int[] stamps = new int[catalog.length()];
        private int walk;
        private final ArrayList<Version> sources = new ArrayList<>();
        private final ArrayList<Step> steps = new ArrayList<>();

        private void begin(Version from) {
            walk++;
            steps.clear();
            meet(from, null);
        }

        /** Adds a step, if the package is new; whether it was. */
        private boolean meet(Version version, Step from) {
            if (stamps[version.id] == walk) {
                return false;
            }
            stamps[version.id] = walk;
            steps.add(new Step(version, from, from == null ? 0 : from.depth + 1));
            return true;
        }

        private void forward(boolean recommends, int until) {
            boolean met = steps.get(0).version.id == until;
            for (int next = 0; next < steps.size() && !met; next++) {
                Step step = steps.get(next);
                met = meetAll(step.version.depends, step, until)
                        || recommends && meetAll(step.version.recommends, step, until);
            }
        }

        private boolean meetAll(Version[] list, Step from, int until) {
            for (Version version : orEmpty(list)) {
                if (meet(version, from) && version.id == until) {
                    return true;
                }
            }
            return false;
        }

        /** By packages of the walk `only`, or by all where that is 0. */
        private void backward(boolean recommends, int only) {
            for (int next = 0; next < steps.size(); next++) {
                Step step = steps.get(next);
                sources.clear();
                step.version.sources(recommends, sources);
                for (Version source : sources) {
                    if (only == 0 || stamps[source.id] == only) {
                        meet(source, step);
                    }
                }
            }
        }

        Answer answer(long kind, Version from, int to, boolean recommends) {
            begin(from);
            if (kind < 4) {
                forward(recommends, NOBODY);
            } else if (kind < 6) {
                backward(recommends, 0);
            } else if (kind < 9) {
                forward(recommends, to);
                Step last = steps.get(steps.size() - 1);
                steps.clear();
                if (last.version.id == to) {
                    for (; last != null; last = last.previous) {
                        steps.add(last);
                    }
                    Collections.reverse(steps);
                }
            } else {
                forward(recommends, NOBODY);
                int reached = walk;
                begin(from);
                backward(recommends, reached);
            }
            return new Answer(steps.toArray(new Step[0]));
        }
    }

    /** Puts new objects in the places of a package and its group, and relinks who needs them. */
    private void replace(int id) {
        Version first = catalog.get(id);
        ArrayList<Version> olds = new ArrayList<>(List.of(first));
        for (Version[] list : Arrays.asList(first.depends, first.recommends)) {
            for (Version target : orEmpty(list)) {
                boolean isFew = target.dependentsCount() <= DEPENDENTS_MAX;
                if (isFew && olds.size() < GROUP_MAX && !olds.contains(target)) {
                    olds.add(target);
                }
            }
        }
        ArrayList<Version> news = new ArrayList<>();
        for (Version old : olds) {
            news.add(new Version(old));
        }
        for (Version made : news) {
            made.settle(news);
            catalog.set(made.id, made);
        }
        ArrayList<Version> sources = new ArrayList<>();
        for (Version made : news) {
            sources.clear();
            made.sources(true, sources);
            for (Version source : sources) {
                source.relink(news);
            }
        }
    }

    /** Answers questions, each followed by what `then` does; what they are worth. */
    private long ask(long count, long seed, Histogram latency, Runnable then) {
        Random random = new Random(seed);
        Walker walker = new Walker();
        Answer[] kept = new Answer[KEPT];
        long sum = 0;
        for (long number = 0; number < count; number++) {
            long kind = random.below(10);
            int from = (int) random.below(catalog.length());
            int to = hubs[(int) random.below(hubs.length)];
            boolean recommends = random.below(2) == 1;
            int place = (int) (number % KEPT);
            sum += kept[place] == null ? 0 : kept[place].worth();
            long begun = System.nanoTime();
            kept[place] = walker.answer(kind, catalog.get(from), to, recommends);
            latency.record(System.nanoTime() - begun);
            then.run();
        }
        for (Answer last : kept) {
            sum += last == null ? 0 : last.worth();
        }
        return sum;
    }

    static void run(Parameters p) throws IOException, InterruptedException {
        long count = p.number("count", 20_000);
        long seed = p.number("seed", 1);
        long threads = p.number("threads", 1);
        if (threads > 2) {
            System.err.println("packages with more than two threads");
            System.exit(3);
        }
        Packages graph = new Packages(p.word("data", ""));
        Random random = new Random(seed + 1);
        Runnable replace = () -> graph.replace((int) random.below(graph.catalog.length()));
        Histogram latency = new Histogram();
        Watch watch = new Watch();
        long answer;
        if (threads == 1) {
            answer = graph.ask(count, seed, latency, replace);
        } else {
            answer = Threads.sum(2, thread -> {
                if (thread == 0) {
                    return graph.ask(count, seed, latency, () -> {});
                }
                for (long number = 0; number < count; number++) {
                    replace.run();
                }
                return 0;
            });
        }
        watch.stop(() -> {
            long serials = 0;
            for (int id = 0; id < graph.catalog.length(); id++) {
                serials += graph.catalog.get(id).serial;
            }
            return answer + serials * 1_000_003;
        });
        latency.print();
    }
}
