//! The walk's steps, counted, on programs of a hundred functions and more.

use super::generate::{Shape, program};
use runtime::escape::Options;

/// Functions of each size of program, all told: single functions differ much in what they cost.
const FUNCTIONS: usize = 10_000;

/// Steps a function, in programs of so many.
fn steps(functions: usize) -> f64 {
    let shape = Shape {
        functions,
        statements: 7,
        anywhere: false,
        nesting: 1,
    };
    let programs = 1..=(FUNCTIONS / functions) as u64;
    let steps = programs.map(|seed| {
        let lowered = program(seed, shape).lower();
        let report = lowered.program.analyze(&Options::default());
        report.steps()
    });
    steps.sum::<u64>() as f64 / FUNCTIONS as f64
}

/// A function costs as many steps in a large program as in a small one.
#[test]
fn steps_grow_with_functions_alone() {
    let [hundred, thousand, ten_thousand] = [100, 1_000, 10_000].map(steps);
    println!("steps a function: {hundred:.0} of 100, {thousand:.0} of 1,000, {ten_thousand:.0}");
    assert!(hundred > 100.0, "the functions do something");
    assert!(thousand < 1.5 * hundred, "{thousand} after {hundred}");
    assert!(
        ten_thousand < 1.5 * thousand,
        "{ten_thousand} after {thousand}"
    );
}
