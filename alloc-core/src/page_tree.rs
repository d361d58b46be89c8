//! Where is the first free run of n pages? A radix tree of summaries answers.
//!
//! A node tells three lengths of the pages below it: the free run at the beginning, the longest,
//! and the one at the end. Eight neighbors make a node of the level above, so that a heap of 64
//! GiB (16,384 chunks) has six levels and its root is one node. A search descends to the first
//! child with a long enough run, unless a run *across* children comes before it; that one is known
//! from the ends and beginnings alone. A change in a chunk is carried up until a level does not
//! change.
//!
//! The idea, without its packing of a node into a word, is that of the page allocator of Go 1.14
//! and later. Room for all nodes is set aside at the beginning: later no call allocates, so that a
//! heap can serve as the program's allocator.

use crate::page_alloc::Piece;
use crate::page_bits::CHUNK_PAGES;

/// log2 of [`FAN_OUT`].
const FAN_OUT_SHIFT: usize = 3;

/// Nodes that make one of the level above.
const FAN_OUT: usize = 1 << FAN_OUT_SHIFT;

/// Chunks below a node of a level.
const fn chunks_below(level: usize) -> usize {
    1 << (level * FAN_OUT_SHIFT)
}

/// The lengths in pages of the free runs of some pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    /// The run that begins at the first page.
    pub(crate) start: u32,
    /// The longest run.
    pub(crate) max: u32,
    /// The run that ends with the last page.
    pub(crate) end: u32,
}

impl Summary {
    /// So many pages, all of them free.
    pub(crate) const fn all_free(pages: u32) -> Self {
        Summary {
            start: pages,
            max: pages,
            end: pages,
        }
    }
}

/// Where a search ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// The run begins at this page, and continues into another chunk.
    At(u32),
    /// The run is the first one inside this chunk.
    InChunk(usize),
}

/// The summaries of all chunks, of eight chunks, of sixty-four, and so on up to one root.
#[derive(Debug)]
pub(crate) struct SummaryTree {
    /// `levels[0]` has a node a chunk, the last level has one node. Invariant: each node is the
    /// join of those below it.
    levels: Vec<Vec<Summary>>,
}

impl SummaryTree {
    /// A tree without chunks, with room for so many.
    pub(crate) fn with_capacity(chunks_max: usize) -> Self {
        let mut levels = vec![Vec::with_capacity(chunks_max)];
        let mut nodes = chunks_max;
        while nodes > 1 {
            nodes = nodes.div_ceil(FAN_OUT);
            levels.push(Vec::with_capacity(nodes));
        }
        SummaryTree { levels }
    }

    /// The summary of a chunk.
    pub(crate) fn chunk(&self, chunk: usize) -> Summary {
        self.levels[0][chunk]
    }

    /// The summary of all pages.
    pub(crate) fn root(&self) -> Summary {
        let top = self.levels.last().and_then(|level| level.first());
        top.copied().unwrap_or_default()
    }

    /// The pages of a node; the last of a level may have fewer than its neighbors.
    fn pages(&self, level: usize, index: usize) -> u32 {
        let span = chunks_below(level);
        let chunks = self.levels[0].len() - index * span;
        chunks.min(span) as u32 * CHUNK_PAGES
    }

    /// The first page of a node.
    fn first_page(level: usize, index: usize) -> u32 {
        (index * chunks_below(level)) as u32 * CHUNK_PAGES
    }

    /// The nodes below a node.
    fn children(&self, level: usize, index: usize) -> std::ops::Range<usize> {
        let first = index * FAN_OUT;
        first..(first + FAN_OUT).min(self.levels[level - 1].len())
    }

    /// What a node has to be.
    fn joined(&self, level: usize, index: usize) -> Summary {
        if self.levels[level - 1].len() == 1 {
            // Above the first root of what the heap has grown to, all are the same.
            return self.levels[level - 1][0];
        }
        let children = self.children(level, index);
        let last_pages = self.pages(level - 1, children.end - 1);
        let full_pages = chunks_below(level - 1) as u32 * CHUNK_PAGES;
        let children = &self.levels[level - 1][children];
        // The free run that reaches the end of the children seen so far.
        let (mut start, mut max, mut run) = (None, 0, 0);
        for (at, child) in children.iter().enumerate() {
            let is_last = at + 1 == children.len();
            let pages = if is_last { last_pages } else { full_pages };
            if child.start == pages {
                run += pages;
                continue;
            }
            let across = run + child.start;
            start.get_or_insert(across);
            max = across.max(child.max).max(max);
            run = child.end;
        }
        Summary {
            start: start.unwrap_or(run),
            max: run.max(max),
            end: run,
        }
    }

    /// Adds a chunk behind the last. Never allocates below the capacity.
    pub(crate) fn push(&mut self, chunk: Summary) {
        let mut index = self.levels[0].len();
        self.levels[0].push(chunk);
        for level in 1..self.levels.len() {
            index /= FAN_OUT;
            let joined = self.joined(level, index);
            if index == self.levels[level].len() {
                self.levels[level].push(joined);
            } else {
                self.levels[level][index] = joined;
            }
        }
    }

    /// Changes neighboring chunks, one for each piece, by `change`, which gets a chunk's summary
    /// and returns what it is now; and the summaries of all nodes above them that change.
    pub(crate) fn update(
        &mut self,
        pieces: impl Iterator<Item = Piece>,
        mut change: impl FnMut(Piece, Summary) -> Summary,
    ) {
        let (mut first, mut last) = (usize::MAX, 0);
        let mut changed = false;
        for piece in pieces {
            let summary = &mut self.levels[0][piece.0];
            let new = change(piece, *summary);
            changed |= *summary != new;
            *summary = new;
            (first, last) = (first.min(piece.0), piece.0);
        }
        for level in 1..self.levels.len() {
            if !changed {
                return;
            }
            (first, last) = (first / FAN_OUT, last / FAN_OUT);
            changed = false;
            for index in first..=last {
                let joined = self.joined(level, index);
                changed |= self.levels[level][index] != joined;
                self.levels[level][index] = joined;
            }
        }
    }

    /// The lowest free run of `pages`, if there is one. O(log chunks).
    pub(crate) fn find(&self, pages: u32) -> Option<Found> {
        if self.root().max < pages {
            return None;
        }
        let mut index = 0;
        for level in (1..self.levels.len()).rev() {
            // The free run that reaches the end of the children seen so far.
            let mut run = 0;
            let mut inside = None;
            for child in self.children(level, index) {
                let summary = self.levels[level - 1][child];
                if run > 0 && run + summary.start >= pages {
                    return Some(Found::At(Self::first_page(level - 1, child) - run));
                }
                if summary.max >= pages {
                    inside = Some(child);
                    break;
                }
                let child_pages = self.pages(level - 1, child);
                run = if summary.end == child_pages {
                    run + child_pages
                } else {
                    summary.end
                };
            }
            assert!(inside.is_some(), "a page summary promises a run it lacks");
            index = inside.unwrap_or_default();
        }
        Some(Found::InChunk(index))
    }

    /// Compares each node with what it has to be.
    ///
    /// # Panics
    ///
    /// If one differs.
    pub(crate) fn check(&self) {
        for level in 1..self.levels.len() {
            let nodes = self.levels[level - 1].len().div_ceil(FAN_OUT);
            assert_eq!(self.levels[level].len(), nodes, "nodes of level {level}");
            for index in 0..nodes {
                let (is, joined) = (self.levels[level][index], self.joined(level, index));
                assert_eq!(is, joined, "summary {index} of level {level}");
            }
        }
    }
}
