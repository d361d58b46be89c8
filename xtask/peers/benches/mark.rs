//! Forced marking of large graphs, beside the floor that the machine sets.
//!
//! A round is one `collect` of a heap whose dead are long gone, so marking is all but the whole of
//! it: with one marker its processor time counts (sweeping included, a fraction of a nanosecond an
//! object), with two the time that the world stood still. The floor of the same round is one
//! random line and two random look-ups in as many mark bits for as many objects, on huge pages.

use criterion::{BenchmarkId, Criterion, SamplingMode};
use peers::limits::{MarkFloor, huge_bytes};
use peers::{Basis, Cost, Random, Report, cost};
use runtime::{Cx, CycleStats, Gc, GcCell, Mutator, Root, Runtime, StopTheWorld, Trace};
use std::time::Duration;

type Failure = Box<dyn std::error::Error>;

/// 32 B: two places for edges, as a user of a cyclic graph writes them, and two words.
#[derive(Trace)]
struct Node<'gc> {
    left: GcCell<'gc, Node<'gc>>,
    right: GcCell<'gc, Node<'gc>>,
    words: [u64; 2],
}

/// 32 B: a tree whose children are fixed when it is made.
#[derive(Trace)]
struct Tree<'gc> {
    left: Option<Gc<'gc, Tree<'gc>>>,
    right: Option<Gc<'gc, Tree<'gc>>>,
    words: [u64; 2],
}

/// 32 B: a list that is linked after it is made.
#[derive(Trace)]
struct Link<'gc> {
    next: GcCell<'gc, Link<'gc>>,
    words: [u64; 3],
}

/// What a document holds: seven kinds of objects.
#[derive(Clone, Copy, Trace)]
enum Value<'gc> {
    Number(Gc<'gc, f64>),
    Text(Gc<'gc, str>),
    Element(Gc<'gc, Element<'gc>>),
    Array(Gc<'gc, [Value<'gc>]>),
    List(Gc<'gc, Cons<'gc>>),
}

#[derive(Trace)]
struct Element<'gc> {
    name: Gc<'gc, str>,
    attributes: Option<Gc<'gc, Entry<'gc>>>,
    children: Gc<'gc, [Value<'gc>]>,
}

#[derive(Trace)]
struct Entry<'gc> {
    key: Gc<'gc, str>,
    value: Value<'gc>,
    next: Option<Gc<'gc, Entry<'gc>>>,
}

#[derive(Trace)]
struct Cons<'gc> {
    head: Value<'gc>,
    tail: Option<Gc<'gc, Cons<'gc>>>,
}

const LISTS: usize = 1000;

/// A node from which four fifths of `objects` nodes are reached, each with two random edges.
fn random_graph<'gc>(cx: &Cx<'gc, StopTheWorld>, objects: usize) -> Root<Node<'static>> {
    let mut random = Random::new(1);
    let node = |_| {
        cx.alloc(Node {
            left: GcCell::empty(),
            right: GcCell::empty(),
            words: [0; 2],
        })
    };
    let nodes: Vec<Gc<'gc, Node<'gc>>> = (0..objects).map(node).collect();
    for node in &nodes {
        node.left.set(cx, Some(nodes[random.below(objects)]));
        node.right.set(cx, Some(nodes[random.below(objects)]));
    }
    // The first node reaches the giant component with near certainty; `bench` asserts it.
    cx.root(nodes[0])
}

/// A complete binary tree of this depth, in the order in which it is allocated: children first.
fn tree<'gc>(cx: &Cx<'gc, StopTheWorld>, depth: u32) -> Gc<'gc, Tree<'gc>> {
    let child = |_: ()| (depth > 0).then(|| tree(cx, depth - 1));
    let (left, right) = (child(()), child(()));
    cx.alloc(Tree {
        left,
        right,
        words: [u64::from(depth); 2],
    })
}

/// Lists whose links lie in random order over the whole heap.
fn lists<'gc>(cx: &Cx<'gc, StopTheWorld>, objects: usize) -> Root<[Gc<'static, Link<'static>>]> {
    let link = |_| {
        cx.alloc(Link {
            next: GcCell::empty(),
            words: [0; 3],
        })
    };
    let links: Vec<Gc<'gc, Link<'gc>>> = (0..objects).map(link).collect();
    let order = Random::new(2).permutation(objects);
    let mut heads = Vec::with_capacity(LISTS);
    for list in order.chunks(objects / LISTS) {
        for pair in list.windows(2) {
            let next = links[pair[1] as usize];
            links[pair[0] as usize].next.set(cx, Some(next));
        }
        heads.push(links[list[0] as usize]);
    }
    cx.root(cx.alloc_slice(heads))
}

/// Builds documents of values of all kinds; a tenth of the places get a value made earlier.
struct Documents<'c, 'gc> {
    cx: &'c Cx<'gc, StopTheWorld>,
    random: Random,
    earlier: Vec<Value<'gc>>,
}

impl<'gc> Documents<'_, 'gc> {
    fn value(&mut self, depth: u32) -> Value<'gc> {
        if !self.earlier.is_empty() && self.random.below(10) == 0 {
            return self.earlier[self.random.below(self.earlier.len())];
        }
        let cx = self.cx;
        let kind = if depth == 0 {
            self.random.below(2)
        } else {
            self.random.below(5)
        };
        let value = match kind {
            0 => Value::Number(cx.alloc(self.random.below(1000) as f64)),
            1 => Value::Text(cx.alloc_str("a short text")),
            2 => Value::Array(self.array(depth - 1)),
            3 => {
                let mut list = None;
                for _ in 0..4 {
                    let head = self.value(depth - 1);
                    list = Some(cx.alloc(Cons { head, tail: list }));
                }
                list.map_or_else(|| Value::Text(cx.alloc_str("")), Value::List)
            }
            _ => self.element(depth - 1),
        };
        if self.random.below(64) == 0 {
            self.earlier.push(value);
        }
        value
    }

    fn array(&mut self, depth: u32) -> Gc<'gc, [Value<'gc>]> {
        let values: Vec<_> = (0..6).map(|_| self.value(depth)).collect();
        self.cx.alloc_slice(values)
    }

    fn element(&mut self, depth: u32) -> Value<'gc> {
        let mut attributes = None;
        for _ in 0..2 {
            attributes = Some(self.cx.alloc(Entry {
                key: self.cx.alloc_str("key"),
                value: self.value(0),
                next: attributes,
            }));
        }
        let children = self.array(depth);
        Value::Element(self.cx.alloc(Element {
            name: self.cx.alloc_str("element"),
            attributes,
            children,
        }))
    }
}

/// Documents with about so many objects in all.
fn documents<'gc>(cx: &Cx<'gc, StopTheWorld>, objects: usize) -> Root<[Value<'static>]> {
    let mut documents = Documents {
        cx,
        random: Random::new(3),
        earlier: Vec::new(),
    };
    // A document of this depth has some ten thousand objects.
    let values: Vec<_> = (0..objects / 10_000)
        .map(|_| documents.element(6))
        .collect();
    cx.root(cx.alloc_slice(values))
}

/// A heap with a graph in it, which nothing frees.
struct Graph {
    heap: Runtime<StopTheWorld>,
    mutator: Mutator<StopTheWorld>,
    markers: usize,
    _root: Box<dyn std::any::Any>,
}

impl Graph {
    fn new<R: 'static>(
        markers: usize,
        build: impl for<'gc> FnOnce(&Cx<'gc, StopTheWorld>) -> R,
    ) -> Result<Self, Failure> {
        let collector = StopTheWorld::with_markers(markers);
        let heap = runtime::Builder::new(collector).gc_off().build()?;
        let mut mutator = heap.mutator();
        let root = Box::new(mutator.enter(build));
        Ok(Self {
            heap,
            mutator,
            markers,
            _root: root,
        })
    }

    fn collect(&mut self) -> Result<(CycleStats, Cost), Failure> {
        let (cycle, cost) = cost(|| self.mutator.collect());
        let cycle = cycle?;
        assert_eq!(cycle.markers, self.markers, "markers that worked");
        Ok((cycle, cost))
    }
}

/// Measures the graph, with one marker and then with two.
fn bench<R: 'static>(
    c: &mut Criterion,
    report: &mut Report,
    what: &str,
    reached: std::ops::Range<usize>,
    build: impl for<'gc> Fn(&Cx<'gc, StopTheWorld>) -> R,
) -> Result<(), Failure> {
    for (markers, basis) in [(1, Basis::Cpu), (2, Basis::Wall)] {
        let mut graph = Graph::new(markers, &build)?;
        let (first, _) = graph.collect()?;
        let objects = first.objects_marked;
        assert!(
            reached.contains(&objects),
            "{objects} of {what} were reached"
        );
        let heap_bytes = graph.heap.stats().heap_bytes;
        let floor = MarkFloor::new(heap_bytes)?;
        let of_both = 2 * heap_bytes + heap_bytes / 64;
        println!(
            "{what}: {objects} objects in {} MiB; {} of {} MiB of heap, floor and bits are huge",
            heap_bytes >> 20,
            huge_bytes() >> 20,
            of_both >> 20,
        );
        let row = format!("mark {what}, {markers} marker{}", ["", "s"][markers - 1]);
        let mut round = || -> Result<Duration, Failure> {
            let (cycle, cost) = graph.collect()?;
            assert_eq!(cycle.objects_marked, objects);
            let marking = Cost {
                wall: cycle.pause - cycle.stop,
                cpu: cost.cpu,
            };
            let floor = floor.run(objects).each(objects);
            report.round(&row, basis, marking.each(objects), None, Some(floor));
            Ok(marking.wall)
        };
        let mut group = c.benchmark_group(format!("mark/{what}"));
        group.sampling_mode(SamplingMode::Flat);
        group.bench_function(BenchmarkId::new("markers", markers), |bencher| {
            bencher.iter_custom(|rounds| {
                let sum: Result<Duration, Failure> = (0..rounds).map(|_| round()).sum();
                sum.unwrap_or_else(|failure| panic!("a round failed: {failure}"))
            });
        });
        group.finish();
    }
    Ok(())
}

fn main() -> Result<(), Failure> {
    let mut c = Criterion::default()
        .configure_from_args()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(1))
        .measurement_time(Duration::from_millis(100));
    let mut report = Report::new("mark");
    for millions in [2, 10] {
        let nodes = millions * 1_000_000;
        let four_fifths = nodes / 100 * 79..nodes / 100 * 81;
        let what = format!("{millions} M nodes, 2 random edges");
        bench(&mut c, &mut report, &what, four_fifths, |cx| {
            random_graph(cx, nodes)
        })?;
    }
    let depth = 22;
    let nodes = (2 << depth) - 1;
    let what = "tree of 8.4 M in allocation order";
    bench(&mut c, &mut report, what, nodes..nodes + 1, |cx| {
        cx.root(tree(cx, depth))
    })?;
    for millions in [2, 10] {
        let nodes = millions * 1_000_000;
        let what = format!("{LISTS} random lists, {millions} M nodes");
        // The nodes and the slice of the lists' heads.
        bench(&mut c, &mut report, &what, nodes + 1..nodes + 2, |cx| {
            lists(cx, nodes)
        })?;
    }
    let (what, some) = ("documents of 7 kinds", 1_000_000..4_000_000);
    bench(&mut c, &mut report, what, some, |cx| {
        documents(cx, 2_000_000)
    })?;
    c.final_summary();
    report.finish()?;
    Ok(())
}
