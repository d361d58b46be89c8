// The package graph of a Linux distribution, queried while packages are replaced.
package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const answersKept, groupMax, dependentsMax = 1024, 8, 200

// A list that is replaced as a whole, never changed in place; nil is empty.
type targets = atomic.Pointer[[]*pkg]

// A pkg is one version of a package.
type pkg struct {
	id                  uint32
	serial              uint64
	name, version       string
	section             string
	kib                 uint64
	depends, recommends targets
	// mu is for the lists of those that need this one, sorted by number.
	mu                       sync.Mutex
	dependents, recommenders []*pkg
}

type step struct {
	pkg      *pkg
	previous *step
	depth    uint32
}

type answer struct {
	steps []*step
}

type packageGraph struct {
	catalog []atomic.Pointer[pkg]
	// hubs is where all edges lead.
	hubs []uint32
}

// eachTarget visits what the package needs, until told to stop.
func (p *pkg) eachTarget(recommends bool, visit func(*pkg) bool) {
	lists := []*targets{&p.depends, &p.recommends}
	if !recommends {
		lists = lists[:1]
	}
	for _, list := range lists {
		if all := list.Load(); all != nil {
			for _, target := range *all {
				if !visit(target) {
					return
				}
			}
		}
	}
}

// sources copies who needs the package, so that the lock is held for little.
func (p *pkg) sources(recommends bool, into []*pkg) []*pkg {
	p.mu.Lock()
	defer p.mu.Unlock()
	into = append(into, p.dependents...)
	if recommends {
		into = append(into, p.recommenders...)
	}
	return into
}

// loadPackages builds the graph of the archive, a row a package, six columns.
func loadPackages(path string) *packageGraph {
	text, err := os.ReadFile(path)
	if err != nil {
		fail(err.Error())
	}
	rows := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	numbers := make(map[string]uint32, len(rows))
	for id, row := range rows {
		name, _, _ := strings.Cut(row, "\t")
		numbers[name] = uint32(id)
	}
	graph := &packageGraph{catalog: make([]atomic.Pointer[pkg], len(rows))}
	for id, row := range rows {
		columns := strings.Split(row, "\t")
		if len(columns) != 6 {
			fail("not six columns: " + row)
		}
		kib, err := strconv.ParseUint(columns[3], 10, 64)
		if err != nil {
			fail(err.Error())
		}
		// Copies, or each would keep the whole text.
		graph.catalog[id].Store(&pkg{
			id: uint32(id), kib: kib, name: strings.Clone(columns[0]),
			version: strings.Clone(columns[1]), section: strings.Clone(columns[2]),
		})
	}
	for id, row := range rows {
		columns := strings.Split(row, "\t")
		from := graph.catalog[id].Load()
		for _, to := range graph.link(&from.depends, numbers, columns[4]) {
			to.dependents = append(to.dependents, from)
		}
		for _, to := range graph.link(&from.recommends, numbers, columns[5]) {
			to.recommenders = append(to.recommenders, from)
		}
	}
	return graph
}

// link sets a list of targets by their names; unknown and repeated ones are skipped.
func (g *packageGraph) link(list *targets, numbers map[string]uint32, names string) []*pkg {
	var all []*pkg
	for _, name := range strings.Fields(names) {
		if id, known := numbers[name]; known {
			if target := g.catalog[id].Load(); !slices.Contains(all, target) {
				all = append(all, target)
				g.hubs = append(g.hubs, id)
			}
		}
	}
	if len(all) > 0 {
		all = slices.Clip(all)
		list.Store(&all)
	}
	return all
}

// A walker has what a walk needs and the next one uses again.
type walker struct {
	stamps  []uint32
	walk    uint32
	sources []*pkg
	steps   []*step
}

func (w *walker) begin(from *pkg) {
	w.walk++
	w.steps = w.steps[:0]
	w.meet(from, nil)
}

// meet adds a step, if the package is new; it says whether it was.
func (w *walker) meet(p *pkg, from *step) bool {
	if w.stamps[p.id] == w.walk {
		return false
	}
	w.stamps[p.id] = w.walk
	depth := uint32(0)
	if from != nil {
		depth = from.depth + 1
	}
	w.steps = append(w.steps, &step{p, from, depth})
	return true
}

const nobody = ^uint32(0)

func (w *walker) forward(recommends bool, until uint32) {
	met := until == w.steps[0].pkg.id
	for next := 0; next < len(w.steps) && !met; next++ {
		step := w.steps[next]
		step.pkg.eachTarget(recommends, func(p *pkg) bool {
			met = w.meet(p, step) && p.id == until
			return !met
		})
	}
}

// backward walks by packages of the walk `only`, or by all where that is 0.
func (w *walker) backward(recommends bool, only uint32) {
	for next := 0; next < len(w.steps); next++ {
		step := w.steps[next]
		w.sources = step.pkg.sources(recommends, w.sources[:0])
		for _, source := range w.sources {
			if only == 0 || w.stamps[source.id] == only {
				w.meet(source, step)
			}
		}
	}
}

func (w *walker) answer(kind uint64, from *pkg, to uint32, recommends bool) *answer {
	w.begin(from)
	switch {
	case kind < 4:
		w.forward(recommends, nobody)
	case kind < 6:
		w.backward(recommends, 0)
	case kind < 9:
		w.forward(recommends, to)
		last := w.steps[len(w.steps)-1]
		w.steps = w.steps[:0]
		if last.pkg.id == to {
			for ; last != nil; last = last.previous {
				w.steps = append(w.steps, last)
			}
			slices.Reverse(w.steps)
		}
	default:
		w.forward(recommends, nobody)
		reached := w.walk
		w.begin(from)
		w.backward(recommends, reached)
	}
	return &answer{slices.Clone(w.steps)}
}

func (a *answer) worth() (sum uint64) {
	if a != nil {
		for _, step := range a.steps {
			sum += 31*(uint64(step.pkg.id)+1) + uint64(step.depth)
		}
	}
	return
}

// replace puts new objects in the places of a package and its group, and relinks who needs them.
func (g *packageGraph) replace(id uint32) {
	olds := []*pkg{g.catalog[id].Load()}
	olds[0].eachTarget(true, func(target *pkg) bool {
		target.mu.Lock()
		isFew := len(target.dependents) <= dependentsMax
		target.mu.Unlock()
		if isFew && len(olds) < groupMax && !slices.Contains(olds, target) {
			olds = append(olds, target)
		}
		return true
	})
	news := make([]*pkg, len(olds))
	for at, old := range olds {
		news[at] = old.rebuilt()
	}
	for _, made := range news {
		made.settle(news)
		g.catalog[made.id].Store(made)
	}
	var sources []*pkg
	for _, made := range news {
		sources = made.sources(true, sources[:0])
		for _, source := range sources {
			relink(&source.depends, news)
			relink(&source.recommends, news)
		}
	}
}

func (p *pkg) rebuilt() *pkg {
	first, _, _ := strings.Cut(p.version, "+r")
	made := &pkg{
		id: p.id, serial: p.serial + 1, name: p.name, section: p.section, kib: p.kib,
		version: first + "+r" + strconv.FormatUint(p.serial+1, 10),
	}
	made.depends.Store(p.depends.Load())
	made.recommends.Store(p.recommends.Load())
	p.mu.Lock()
	defer p.mu.Unlock()
	made.dependents = slices.Clone(p.dependents)
	made.recommenders = slices.Clone(p.recommenders)
	return made
}

// settle makes a new object's edges lead to its group, and its targets' lists to it.
func (p *pkg) settle(group []*pkg) {
	relink(&p.depends, group)
	relink(&p.recommends, group)
	for _, other := range group {
		p.mu.Lock()
		put(p.dependents, other)
		put(p.recommenders, other)
		p.mu.Unlock()
	}
	for at, list := range []*targets{&p.depends, &p.recommends} {
		all := list.Load()
		if all == nil {
			continue
		}
		for _, target := range *all {
			target.mu.Lock()
			put([][]*pkg{target.dependents, target.recommenders}[at], p)
			target.mu.Unlock()
		}
	}
}

// put has a new object take the place of the old one, if that is in the list.
func put(sources []*pkg, made *pkg) {
	byID := func(source *pkg, id uint32) int { return int(source.id) - int(id) }
	if at, found := slices.BinarySearchFunc(sources, made.id, byID); found {
		sources[at] = made
	}
}

// relink copies a list with new objects in the places of the old, if it has any of them.
func relink(list *targets, news []*pkg) {
	all := list.Load()
	if all == nil {
		return
	}
	var copied []*pkg
	for at, target := range *all {
		for _, made := range news {
			if made.id == target.id && made != target {
				if copied == nil {
					copied = slices.Clone(*all)
				}
				copied[at] = made
			}
		}
	}
	if copied != nil {
		list.Store(&copied)
	}
}

// ask answers questions, each followed by what `then` does; it returns what they are worth.
func (g *packageGraph) ask(count, seed uint64, latency *histogram, then func()) (sum uint64) {
	random := generator(seed)
	packages := uint64(len(g.catalog))
	walker := &walker{stamps: make([]uint32, packages)}
	kept := make([]*answer, answersKept)
	for number := range count {
		kind := random.below(10)
		from, to := random.below(packages), g.hubs[random.below(uint64(len(g.hubs)))]
		recommends := random.below(2) == 1
		place := number % answersKept
		sum += kept[place].worth()
		begun := time.Now()
		kept[place] = walker.answer(kind, g.catalog[from].Load(), to, recommends)
		latency.record(time.Since(begun))
		then()
	}
	for _, last := range kept {
		sum += last.worth()
	}
	return
}

func packages(p parameters) {
	count, seed := p.number("count", 20_000), p.number("seed", 1)
	graph := loadPackages(p.word("data", ""))
	random := generator(seed + 1)
	replace := func() { graph.replace(uint32(random.below(uint64(len(graph.catalog))))) }
	latency := &histogram{}
	var answer uint64
	watch := start()
	switch threads := p.number("threads", 1); threads {
	case 1:
		answer = graph.ask(count, seed, latency, replace)
	case 2:
		answer = inThreads(2, func(thread uint64) uint64 {
			if thread == 0 {
				return graph.ask(count, seed, latency, func() {})
			}
			for range count {
				replace()
			}
			return 0
		})
	default:
		fmt.Fprintln(os.Stderr, "packages with more than two threads")
		os.Exit(3)
	}
	watch.stopThen(func() uint64 {
		serials := uint64(0)
		for at := range graph.catalog {
			serials += graph.catalog[at].Load().serial
		}
		return answer + serials*1_000_003
	})
	latency.print()
}
