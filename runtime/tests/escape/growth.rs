//! The walk's steps, counted, on programs of a hundred functions and more.

use super::generate::{Shape, program};
use runtime::escape::Options;

/// Steps a function, by the number of functions.
fn steps(functions: usize) -> f64 {
    let shape = Shape {
        functions,
        statements: 5,
        anywhere: false,
    };
    let lowered = program(7, shape).lower();
    let report = lowered.program.analyze(&Options::default());
    report.steps() as f64 / functions as f64
}

/// A function costs as many steps in a large program as in a small one.
#[test]
fn steps_grow_with_functions_alone() {
    let [hundred, thousand, ten_thousand] = [100, 1_000, 10_000].map(steps);
    println!("steps a function: {hundred:.0} of 100, {thousand:.0} of 1,000, {ten_thousand:.0}");
    assert!(hundred > 50.0, "the functions do something");
    assert!(thousand < 2.0 * hundred, "{thousand} after {hundred}");
    assert!(
        ten_thousand < 1.5 * thousand,
        "{ten_thousand} after {thousand}"
    );
}
