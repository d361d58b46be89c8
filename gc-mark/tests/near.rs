//! Marks in words: the packet at hand claims them together, and gives way where others were first.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use gc_mark::{Alone, Kind, Marker, Object, ObjectModel, Packet, Shared, Sharing, Tracer, Visitor};

/// All nodes are of this kind.
const NODE: Kind = Kind {
    id: 0,
    noscan: false,
};

/// Nodes that refer to each other by index, with marks in words. Another worker claims `rival`
/// (a mark) in the name of a queue of its own, right after the marker has looked at its word.
struct Heap {
    edges: Vec<Vec<usize>>,
    marks: Vec<AtomicU64>,
    scans: Vec<AtomicUsize>,
    rival: Option<usize>,
}

impl Heap {
    fn new(edges: Vec<Vec<usize>>, rival: Option<usize>) -> Heap {
        let words = edges.len().div_ceil(64);
        Heap {
            marks: (0..words).map(|_| AtomicU64::new(0)).collect(),
            scans: edges.iter().map(|_| AtomicUsize::new(0)).collect(),
            edges,
            rival,
        }
    }

    fn scan<S: Sharing>(&self, packet: Packet<'_>, tracer: &mut Tracer<'_, Self, S>) {
        packet.drain(
            tracer,
            |_| {},
            |object, tracer| {
                self.scans[object.0].fetch_add(1, Relaxed);
                for &edge in &self.edges[object.0] {
                    tracer.visit(Object(edge), NODE);
                }
            },
        );
    }

    /// How often each node was scanned, once marking has ended; each scanned node is marked.
    fn scans(&self) -> Vec<usize> {
        for (node, scans) in self.scans.iter().enumerate() {
            let marked = self.marks[node / 64].load(Relaxed) >> (node % 64) & 1;
            let expected = u64::from(scans.load(Relaxed) > 0 || self.rival == Some(node));
            assert_eq!(marked, expected, "{node} is marked if it is reached");
        }
        self.scans.iter().map(|scans| scans.load(Relaxed)).collect()
    }
}

// SAFETY: a bit is set by one `fetch_or`; a scan reports every edge.
unsafe impl ObjectModel for Heap {
    fn claim(&self, object: Object) -> bool {
        self.claim_marks(object.0 / 64, 1 << (object.0 % 64)) == 0
    }

    fn claim_alone(&self, object: Object) -> bool {
        self.claim(object)
    }

    fn marks(&self, word: usize) -> u64 {
        let seen = self.marks[word].load(Relaxed);
        if let Some(rival) = self.rival.filter(|rival| rival / 64 == word) {
            self.marks[word].fetch_or(1 << (rival % 64), Relaxed);
        }
        seen
    }

    fn claim_marks(&self, word: usize, bits: u64) -> u64 {
        self.marks[word].fetch_or(bits, Relaxed) & bits
    }

    fn claim_marks_alone(&self, word: usize, bits: u64) -> u64 {
        self.claim_marks(word, bits)
    }

    fn prefetch(&self, _object: Object) {}

    fn scan_alone(&self, packet: Packet<'_>, tracer: &mut Tracer<'_, Self, Alone>) {
        self.scan(packet, tracer);
    }

    fn scan_shared(&self, packet: Packet<'_>, tracer: &mut Tracer<'_, Self, Shared>) {
        self.scan(packet, tracer);
    }
}

/// Marks from node 0, on this thread, in both ways.
fn mark(edges: &[Vec<usize>], rival: Option<usize>) -> Vec<usize> {
    let alone = Heap::new(edges.to_vec(), rival);
    let mut marker = Marker::new(1);
    let roots = &[(Object(0), NODE)][..];
    marker.mark(&alone, roots).expect("no port panics");
    let shared = Heap::new(edges.to_vec(), rival);
    let round = marker.round(&shared, roots);
    round.run(0);
    let told = round.objects_done();
    assert!(round.finish().expect("no port panics").drained);
    assert_eq!(alone.scans(), shared.scans());
    assert_eq!(
        shared.scans().iter().sum::<usize>(),
        told,
        "objects are told"
    );
    alone.scans()
}

/// Nodes of a graph that no packet holds; few where an interpreter runs them.
const NODES: usize = if cfg!(miri) { 600 } else { 5_000 };

/// A tree in order, with edges back and across.
#[test]
fn marks_in_words_are_all_claimed() {
    let edges: Vec<Vec<usize>> = (0..NODES)
        .map(|node| {
            let children = [2 * node + 1, 2 * node + 2, node / 2, node * 7 % NODES];
            children.into_iter().filter(|&to| to < NODES).collect()
        })
        .collect();
    assert_eq!(mark(&edges, None), vec![1; NODES]);
}

/// A list that no packet holds.
#[test]
fn lists_are_followed_and_told() {
    let edges: Vec<Vec<usize>> = (1..NODES).map(|next| vec![next]).collect();
    let edges = [edges, vec![vec![]]].concat();
    assert_eq!(mark(&edges, None), vec![1; NODES]);
}

/// Node 0 leads to 4096, with the first mark of word 64, and then to 1.
#[test]
fn a_mark_is_claimed_in_its_own_word() {
    let mut edges = vec![vec![]; 4160];
    edges[0] = vec![4096, 1];
    let scans = mark(&edges, None);
    assert_eq!((scans[1], scans[4096], scans[4097]), (1, 1, 0));
}

/// Node 0 leads to 73 to 64, which lead to nothing; 69 is won by another worker after the look.
#[test]
fn what_others_have_claimed_meanwhile_is_not_scanned() {
    let mut edges = vec![vec![]; 74];
    edges[0] = (64..74).rev().collect();
    let scans = mark(&edges, Some(69));
    assert_eq!(scans[64..], [1, 1, 1, 1, 1, 0, 1, 1, 1, 1]);
}

/// A list of nodes 0, 64 and 128, one a word; 64 is won by another worker, who scans it.
#[test]
fn what_others_have_claimed_meanwhile_is_not_followed() {
    let mut edges = vec![vec![]; 192];
    edges[0] = vec![64];
    edges[64] = vec![128];
    let scans = mark(&edges, Some(64));
    assert_eq!((scans[0], scans[64], scans[128]), (1, 0, 0));
}
