//! Escape analysis of programs of a hundred, a thousand and ten thousand functions.
//!
//! What is to be seen is the growth: the time of a function should be the same in each. A function
//! has four variables, an allocation, a loop, stores through pointers, and three calls of earlier
//! functions; every tenth is recursive.

use criterion::{BenchmarkId, Criterion, Throughput};
use runtime::escape::{Callee, Field, Function, Options, Program, Size, Var};
use std::time::Duration;

/// A program of so many functions.
fn program(functions: u32) -> Program {
    let mut program = Program::new();
    let name = |index: u32| format!("function {index}");
    let all: Vec<Function> = (0..functions)
        .map(|index| program.declare(&name(index), &["p", "q"], 2))
        .collect();
    for (index, function) in all.iter().enumerate() {
        let mut body = program.define(*function);
        let (p, q) = (body.parameter(0), body.parameter(1));
        let word = Size::Bytes(8);
        let x = body.at(1, 1).local("x", word);
        let y = body.at(2, 1).local("y", Size::Bytes(24));
        let z = body.at(3, 1).local("z", word);
        body.at(4, 1)
            .address_of(z, x)
            .store(p, Field(0), q)
            .load(y, p, Field(1));
        body.at(5, 1).enter_loop();
        let t = body.local("t", word);
        body.allocate(t, "node", Size::Bytes(32));
        body.at(6, 1)
            .store(t, Field(0), z)
            .address_of(z, y)
            .leave_loop();
        for back in [1, 7, 40] {
            let callee = index.checked_sub(back).map(|callee| all[callee]);
            if let Some(callee) = callee {
                body.at(7, 1)
                    .call(Callee::Static(callee), &[z, q], &[y, Var::NONE]);
            }
        }
        if index % 10 == 0 {
            body.at(8, 1)
                .call(Callee::Static(*function), &[q, z], &[y, x]);
        }
        body.at(9, 1).give_back(&[q, y]);
    }
    program
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(3))
        .configure_from_args();
    let mut group = criterion.benchmark_group("escape");
    for functions in [100, 1_000, 10_000] {
        let program = program(functions);
        let steps = program.analyze(&Options::default()).steps();
        println!(
            "{functions} functions: {} steps each",
            steps / u64::from(functions)
        );
        group.throughput(Throughput::Elements(functions.into()));
        group.bench_with_input(
            BenchmarkId::from_parameter(functions),
            &program,
            |b, program| {
                b.iter(|| program.analyze(&Options::default()).steps());
            },
        );
    }
    group.finish();
    criterion.final_summary();
}
