//! One run: one allocator does what one row says, and the figures are printed.

use crate::Failure;
use crate::rows::rows;
use alloc_core::malloc::Heapwright;
use mimalloc::MiMalloc;
use peers::process::resident;
use peers::rivals::RIVALS;
use std::alloc::{GlobalAlloc, System};

/// Runs a row by its name; a word and a figure a line.
fn run<A: GlobalAlloc + Sync + 'static>(allocator: &A, name: &str) -> Result<(), Failure> {
    let mut rows = rows::<A>();
    rows.retain(|row| row.name == name);
    let row = rows
        .first()
        .ok_or_else(|| format!("there is no row {name}"))?;
    let found = (row.act)(allocator);
    let each = found.cost.each(found.done);
    println!("cpu {}", each.cpu);
    println!("wall {}", each.wall);
    let resident = resident().ok_or("the system does not tell resident memory")?;
    println!("peak {}", resident.peak_bytes);
    if found.dropped_bytes != [0, 0] {
        println!("at-once {}", found.dropped_bytes[0]);
        println!("later {}", found.dropped_bytes[1]);
    }
    Ok(())
}

/// Runs a row with the allocator of this name.
pub(crate) fn child(rival: &str, name: &str) -> Result<(), Failure> {
    let known = RIVALS.iter().find(|known| known.name == rival);
    let known = known.ok_or_else(|| format!("there is no allocator called {rival}"))?;
    if !known.is_loaded() {
        return Err(format!("{rival} is not loaded: start it by the bench").into());
    }
    match rival {
        "heapwright" => run(&Heapwright, name),
        "mimalloc" => run(&MiMalloc, name),
        #[cfg(feature = "snmalloc")]
        "snmalloc" => run(&snmalloc_rs::SnMalloc, name),
        _ => run(&System, name),
    }
}
