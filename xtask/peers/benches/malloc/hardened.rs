//! What the checks of a hardened heap cost, beside a plain heap by the same calls, without the
//! process-wide allocator.

use crate::Failure;
use alloc_core::Mmap;
use alloc_core::malloc::{ByteHeap, Magazines, Mode};
use peers::report::{finish_table, median};
use peers::{Cost, cost};
use std::alloc::Layout;
use std::fmt::Write as _;
use std::hint::black_box;
use std::ptr::NonNull;

const OBJECTS: usize = 500_000;
const ROUNDS: usize = 11;

/// Made and freed a thousand at a time by a heap that is not the process's.
fn batches(mode: Mode, bytes: usize) -> Result<Cost, Failure> {
    let heap = ByteHeap::new(Mmap::new(), 256 << 20, 64 << 20, mode)?;
    let (mut magazines, layout) = (Magazines::new(), Layout::from_size_align(bytes, 8)?);
    let mut places: Vec<NonNull<u8>> = Vec::with_capacity(1000);
    let (result, cost) = cost(|| -> Result<(), Failure> {
        for _ in 0..OBJECTS / 1000 {
            for _ in 0..1000 {
                let object = heap.alloc(&mut magazines, layout)?;
                // SAFETY: at least a word, aligned to it.
                unsafe { object.cast::<u64>().write(1) };
                places.push(black_box(object));
            }
            for object in places.drain(..) {
                // SAFETY: made above, freed once.
                unsafe { heap.free(&mut magazines, object, layout) };
            }
        }
        Ok(())
    });
    result.map(|()| cost)
}

/// Measures and prints its table.
pub(crate) fn table() -> Result<(), Failure> {
    let mut table =
        "| hardened heap | ns | plain, ns | hardened / plain |\n|---|--:|--:|--:|\n".to_owned();
    for bytes in [64, 1024] {
        let mut rounds = [Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            let hardened = batches(Mode::Hardened, bytes)?.each(OBJECTS).cpu;
            let plain = batches(Mode::Plain, bytes)?.each(OBJECTS).cpu;
            for (figures, figure) in rounds.iter_mut().zip([hardened, plain, hardened / plain]) {
                figures.push(figure);
            }
        }
        let [hardened, plain, ratio] = rounds.map(|figures| median(figures).unwrap_or(f64::NAN));
        writeln!(
            table,
            "| {bytes} B, a thousand at a time | {hardened:.1} | {plain:.1} | {ratio:.2} |"
        )?;
    }
    Ok(finish_table("malloc-hardened", &table)?)
}
