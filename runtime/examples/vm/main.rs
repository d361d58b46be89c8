//! A virtual machine with fibers, on `runtime::stack` and `runtime::escape`.
//!
//! It runs small programs twice, with every object on the heap and with those in frames that the
//! analysis allows, and says what that has spared:
//!
//! ```text
//! cargo run --release -p runtime --example vm
//! ```
//!
//! An object in a frame is some of the frame's slots, and its address the frame's and a slot; the
//! machine refuses to store one on the heap, so an unsound decision ends the run.

mod analysis;
mod code;
mod machine;
mod programs;

use anyhow::{Context as _, Result, ensure};
use machine::Run;

/// Bytes of the largest stack: what the bottomless program comes to.
const LIMIT_BYTES: usize = 4 << 20;

/// A program's two runs: everything on the heap, and what must be.
fn compare(functions: &[code::Function]) -> Result<[Run; 2]> {
    let (placement, reasons) = analysis::analyze(functions);
    for reason in reasons {
        println!("{reason}");
    }
    let off = machine::run(functions, &analysis::nowhere(functions), LIMIT_BYTES)?;
    let on = machine::run(functions, &placement, LIMIT_BYTES)?;
    ensure!(
        off.output == on.output,
        "the analysis changes what is printed: {:?} and {:?}",
        off.output,
        on.output
    );
    Ok([off, on])
}

fn main() -> Result<()> {
    let size = std::env::args().nth(1).unwrap_or_else(|| "40".to_owned());
    let size: i64 = size.parse().context("how large: a number from 1 to 60")?;
    ensure!((1..=60).contains(&size), "how large: a number from 1 to 60");
    for (name, functions) in programs::all(size) {
        println!("\n{name}");
        let [off, on] = compare(&functions)?;
        for line in &on.output {
            println!("  prints: {line}");
        }
        println!(
            "  heap allocations {} instead of {} ({} in frames), cycles {} instead of {}, \
             {:.1} ms instead of {:.1}",
            on.heap_objects,
            off.heap_objects,
            on.frame_objects,
            on.cycles,
            off.cycles,
            on.took.as_secs_f64() * 1e3,
            off.took.as_secs_f64() * 1e3
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(name: &str) -> [Run; 2] {
        let (_, functions) = programs::all(2)
            .into_iter()
            .find(|program| program.0 == name)
            .unwrap();
        compare(&functions).unwrap()
    }

    #[test]
    fn what_stays_in_its_function_is_in_its_frame() {
        let [off, on] = runs("fibonacci");
        assert_eq!(on.output, ["fibonacci 987"]);
        assert_eq!((off.frame_objects, on.heap_objects), (0, 0));
        assert_eq!(off.heap_objects, on.frame_objects);
    }

    #[test]
    fn what_leaves_its_function_is_on_the_heap() {
        let [off, on] = runs("trees");
        assert_eq!(on.heap_objects, 8 * 511, "the trees");
        assert_eq!(on.frame_objects, 8, "the cursors");
        assert_eq!(off.heap_objects, 8 * 512);
    }

    #[test]
    fn closures_and_what_they_capture_are_in_frames() {
        let [off, on] = runs("closures");
        let total: i64 = (0..300).map(|round| round + 45).sum();
        assert_eq!(on.output, [format!("closures {total}")]);
        assert_eq!((off.heap_objects, on.heap_objects), (600, 0));
    }

    #[test]
    fn messages_are_on_the_heap_and_scratch_is_not() {
        let [off, on] = runs("producers");
        let total: i64 = (0..400).map(|number| 4 * number).sum();
        assert_eq!(on.output, [format!("consumed {total}")]);
        assert_eq!((on.heap_objects, on.frame_objects), (802, 800));
        assert_eq!(off.heap_objects, 1602);
    }

    #[test]
    fn the_limit_ends_one_fiber_and_no_other() {
        let [_, on] = runs("bottomless");
        assert_eq!(on.output.len(), 2, "{:?}", on.output);
        assert!(on.output.iter().any(|line| line == "went on to 19900"));
        assert!(on.output.iter().any(|line| line.contains("a frame `fall`")));
    }
}
