//! What the machine itself allows: loops that do nothing but touch the memory which an allocator,
//! a marker or a sweeper must touch in any case.

use crate::{Cost, Random, cost};
use memmap2::{Advice, MmapMut};
use std::hint::black_box;
use std::io;

const LINE_BYTES: usize = 64;
/// As far ahead as the marker looks.
const PREFETCH_AHEAD: usize = 16;
/// Random places in the index stream; a stream of 4 MiB is read in order and costs nothing.
const STREAM: usize = 1 << 20;

/// Fresh anonymous memory; huge pages asked for or declined.
///
/// # Errors
///
/// The system's.
pub fn map(bytes: usize, huge: bool) -> io::Result<MmapMut> {
    let map = MmapMut::map_anon(bytes)?;
    let advice = if huge {
        Advice::HugePage
    } else {
        Advice::NoHugePage
    };
    map.advise(advice)?;
    Ok(map)
}

/// Writes blocks of `WORDS` words one behind another over `region`, until `blocks` are written.
#[inline(never)]
pub fn bump<const WORDS: usize>(region: &mut [u8], blocks: usize) {
    let mut left = blocks;
    while left > 0 {
        let (places, _) = region.as_chunks_mut::<8>();
        for place in places.chunks_exact_mut(WORDS).take(left) {
            let value = (left as u64).to_ne_bytes();
            place.iter_mut().for_each(|word| *word = value);
            left -= 1;
        }
        black_box(&mut *region);
    }
}

/// Writes the blocks of `WORDS` words with these numbers, in the order given.
#[inline(never)]
pub fn write_at<const WORDS: usize>(region: &mut [u8], blocks: &[u32]) {
    let (words, _) = region.as_chunks_mut::<8>();
    let (places, _) = words.as_chunks_mut::<WORDS>();
    for &block in blocks {
        let value = u64::from(block).to_ne_bytes();
        places[block as usize] = [value; WORDS];
    }
    black_box(region);
}

/// The floor of marking: for each object one random line of the heap, and a random look-up in the
/// mark bits for each of its edges, all independent of each other, with the line
/// 16 objects ahead prefetched.
pub struct MarkFloor {
    heap: MmapMut,
    marks: MmapMut,
    stream: Vec<u32>,
}

impl MarkFloor {
    /// The floor of a heap of `heap_bytes` with a mark bit for each 16 of them, on huge pages as
    /// the heap's own.
    ///
    /// # Errors
    ///
    /// The system's, if it has no memory for both.
    pub fn new(heap_bytes: usize) -> io::Result<Self> {
        let mut heap = map(heap_bytes, true)?;
        let mut marks = map((heap_bytes / 128).next_multiple_of(LINE_BYTES), true)?;
        // Touched, or all reads would find the one page of zeros.
        heap.fill(1);
        marks.fill(1);
        let mut random = Random::new(11);
        let stream = (0..STREAM).map(|_| (random.draw() >> 32) as u32).collect();
        Ok(Self {
            heap,
            marks,
            stream,
        })
    }

    /// The cost of `objects` objects with two edges each.
    pub fn run(&self, objects: usize) -> Cost {
        let (sum, cost) = cost(|| self.walk(objects));
        black_box(sum);
        cost
    }

    #[inline(never)]
    fn walk(&self, objects: usize) -> u64 {
        let (lines, _) = self.heap.as_chunks::<LINE_BYTES>();
        let (words, _) = self.marks.as_chunks::<8>();
        let line_of = |random: u32| {
            // The same scaling as `Random::below`, of 32 bits.
            &lines[((u64::from(random) * lines.len() as u64) >> 32) as usize]
        };
        let word_of = |random: u32| {
            let word = words[((u64::from(random) * words.len() as u64) >> 32) as usize];
            u64::from_ne_bytes(word)
        };
        let mut sum = 0u64;
        let mut left = objects;
        while left > 0 {
            let take = left.min(STREAM - 2 * PREFETCH_AHEAD);
            for window in self.stream[..take + PREFETCH_AHEAD + 2].windows(PREFETCH_AHEAD + 1) {
                if let (Some(&here), Some(&ahead)) = (window.first(), window.last()) {
                    prefetch(line_of(ahead));
                    sum = sum.wrapping_add(u64::from(line_of(here)[8]));
                    // Other places than the line's: the bits of what the edges lead to.
                    sum = sum.wrapping_add(word_of(here.wrapping_mul(0x9E37_79B1)));
                    sum = sum.wrapping_add(word_of(here.wrapping_mul(0x85EB_CA77)));
                }
            }
            left -= take;
        }
        sum
    }
}

/// Hints that the line will be read soon.
#[inline(always)]
pub fn prefetch<T>(line: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: a hint that never faults, and the address is that of a reference.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(line).cast()) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = line;
}

/// The floor of sweeping: the marks of each span are read, counted, written over its allocation
/// bits, and cleared.
pub struct SweepFloor {
    marks: Vec<u64>,
    allocs: Vec<u64>,
}

impl SweepFloor {
    const WORDS_A_SPAN: usize = 8;

    /// The bits of so many spans of 8 KiB.
    pub fn new(spans: usize) -> Self {
        let words = spans * Self::WORDS_A_SPAN;
        Self {
            marks: vec![0; words],
            allocs: vec![u64::MAX; words],
        }
    }

    /// The cost of one pass, with `mark` in each word of the marks.
    pub fn run(&mut self, mark: u64) -> Cost {
        self.marks.fill(black_box(mark));
        let (live, cost) = cost(|| {
            let mut live_total = 0u64;
            let spans = self.marks.chunks_exact_mut(Self::WORDS_A_SPAN);
            for (marks, allocs) in spans.zip(self.allocs.chunks_exact_mut(Self::WORDS_A_SPAN)) {
                let mut live = 0;
                for (mark, alloc) in marks.iter_mut().zip(allocs) {
                    live += mark.count_ones();
                    *alloc = std::mem::take(mark);
                }
                live_total += u64::from(live);
            }
            live_total
        });
        assert_eq!(live, u64::from(mark.count_ones()) * self.marks.len() as u64);
        black_box(&mut self.allocs);
        cost
    }
}

/// Bytes of this process that lie in huge pages, as the system reports them; 0 where it does not.
pub fn huge_bytes() -> usize {
    let rollup = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap_or_default();
    let line = rollup
        .lines()
        .find(|line| line.starts_with("AnonHugePages:"));
    let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<usize>().ok());
    kib.unwrap_or(0) << 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_written_where_they_should_be() {
        let mut region = vec![0u8; 64];
        write_at::<2>(&mut region, &[3, 1]);
        let written: Vec<usize> = (0..4).filter(|at| region[at * 16] != 0).collect();
        assert_eq!(written, [1, 3]);
        let mut region = vec![0u8; 64];
        bump::<2>(&mut region, 3);
        assert_eq!(region[32..40], 1u64.to_ne_bytes());
        assert_eq!(region[48], 0, "three blocks were asked for");
    }

    #[test]
    fn the_floor_takes_longer_for_more_objects() {
        let floor = MarkFloor::new(1 << 20).unwrap();
        let short = floor.run(1 << 16).cpu;
        assert!(floor.run(1 << 20).cpu > short);
    }
}
