//! The programs that the machine runs.

use crate::code::{Func, Function, Reg, Writer};

/// A name, and functions of which the first is where it begins.
pub(crate) type Program = (&'static str, Vec<Function>);

/// All of them, the larger the more there is of `size`.
pub(crate) fn all(size: i64) -> Vec<Program> {
    vec![
        ("fibonacci", fibonacci(size)),
        ("trees", trees(size)),
        ("closures", closures(size)),
        ("producers", producers(size)),
        ("bottomless", bottomless(size)),
    ]
}

fn function(
    name: &'static str,
    parameters: u32,
    captures: u32,
    body: impl FnOnce(&mut Writer),
) -> Function {
    let mut writer = Writer::new(name, parameters, captures);
    body(&mut writer);
    writer.end()
}

/// `while i < end { body; i += 1 }`, with a fresh `i` from 0.
fn count_to(writer: &mut Writer, end: Reg, body: impl FnOnce(&mut Writer, Reg)) {
    let counter = writer.int(0);
    writer.repeat(
        |writer| writer.less(counter, end),
        |writer| {
            body(writer, counter);
            let one = writer.int(1);
            let next = writer.add(counter, one);
            writer.set(counter, next);
        },
    );
}

/// Recursive, with a pair for two results that nobody else sees.
fn fibonacci(size: i64) -> Vec<Function> {
    const FIB: Func = 1;
    let main = function("main", 1, 0, |w| {
        let n = w.int(16 + size / 4);
        let result = w.call(FIB, &[n]);
        w.print("fibonacci", result);
        w.give(result);
    });
    let fib = function("fib", 1, 0, |w| {
        let (one, two) = (w.int(1), w.int(2));
        let small = w.less(0, two);
        w.when(small, |w| w.give(0));
        let (a, b) = (w.sub(0, one), w.sub(0, two));
        let (a, b) = (w.call(FIB, &[a]), w.call(FIB, &[b]));
        let pair = w.object(&[a, b]);
        let (a, b) = (w.load(pair, 0), w.load(pair, 1));
        let sum = w.add(a, b);
        w.give(sum);
    });
    vec![main, fib]
}

/// Trees that are built by one function and summed up by another: they leave their function.
fn trees(size: i64) -> Vec<Function> {
    const BUILD: Func = 1;
    const SUM: Func = 2;
    let main = function("main", 1, 0, |w| {
        let (rounds, depth, total) = (w.int(size * 4), w.int(8), w.int(0));
        count_to(w, rounds, |w, round| {
            let tree = w.call(BUILD, &[depth, round]);
            let cursor = w.object(&[tree, total]);
            let (tree, before) = (w.load(cursor, 0), w.load(cursor, 1));
            let sum = w.call(SUM, &[tree, depth]);
            let sum = w.add(sum, before);
            w.set(total, sum);
        });
        w.print("trees", total);
        w.give(total);
    });
    let build = function("build", 2, 0, |w| {
        let zero = w.int(0);
        let inner = w.less(zero, 0);
        let leaf = w.object(&[zero, zero, 1]);
        w.when(inner, |w| {
            let one = w.int(1);
            let below = w.sub(0, one);
            let (left, right) = (w.call(BUILD, &[below, 1]), w.call(BUILD, &[below, one]));
            w.store(leaf, 0, left);
            w.store(leaf, 1, right);
        });
        w.give(leaf);
    });
    let sum = function("sum", 2, 0, |w| {
        let zero = w.int(0);
        let own = w.load(0, 2);
        let inner = w.less(zero, 1);
        w.when(inner, |w| {
            let one = w.int(1);
            let below = w.sub(1, one);
            let (left, right) = (w.load(0, 0), w.load(0, 1));
            let (left, right) = (w.call(SUM, &[left, below]), w.call(SUM, &[right, below]));
            let both = w.add(left, right);
            let all = w.add(both, own);
            w.give(all);
        });
        w.give(own);
    });
    vec![main, build, sum]
}

/// A closure that counts in a cell it has captured, called by a function that does not keep it.
fn closures(size: i64) -> Vec<Function> {
    const EACH: Func = 1;
    const ADD: Func = 2;
    let main = function("main", 1, 0, |w| {
        let (rounds, total) = (w.int(size * 150), w.int(0));
        count_to(w, rounds, |w, round| {
            let cell = w.object(&[round]);
            let closure = w.close(ADD, &[cell]);
            let times = w.int(10);
            w.call(EACH, &[times, closure]);
            let counted = w.load(cell, 0);
            let sum = w.add(total, counted);
            w.set(total, sum);
        });
        w.print("closures", total);
        w.give(total);
    });
    let each = function("each", 2, 0, |w| {
        count_to(w, 0, |w, number| {
            w.call_closure(1, &[number]);
        });
        w.give(0);
    });
    let add = function("add", 1, 1, |w| {
        let before = w.load(1, 0);
        let after = w.add(before, 0);
        w.store(1, 0, after);
        w.give(after);
    });
    vec![main, each, add]
}

/// Two fibers that make things, and one that adds them up; a number tells it who is done.
fn producers(size: i64) -> Vec<Function> {
    const PRODUCE: Func = 1;
    const CONSUME: Func = 2;
    let main = function("main", 1, 0, |w| {
        let (many, two) = (w.int(size * 200), w.int(2));
        w.spawn(CONSUME, two);
        w.spawn(PRODUCE, many);
        w.spawn(PRODUCE, many);
        w.give(many);
    });
    let produce = function("produce", 1, 0, |w| {
        let zero = w.int(0);
        count_to(w, 0, |w, number| {
            let scratch = w.object(&[number, number]);
            let (a, b) = (w.load(scratch, 0), w.load(scratch, 1));
            let twice = w.add(a, b);
            let one = w.int(1);
            let message = w.object(&[one, twice]);
            w.send(0, message);
        });
        let last = w.object(&[zero, zero]);
        w.send(0, last);
        w.give(zero);
    });
    let consume = function("consume", 1, 0, |w| {
        let (open, total, zero) = (w.int(0), w.int(0), w.int(0));
        w.set(open, 0);
        w.repeat(
            |w| w.less(zero, open),
            |w| {
                let message = w.receive(0);
                let (more, value) = (w.load(message, 0), w.load(message, 1));
                let one = w.int(1);
                let ended = w.sub(one, more);
                let left = w.sub(open, ended);
                w.set(open, left);
                let sum = w.add(total, value);
                w.set(total, sum);
            },
        );
        w.print("consumed", total);
        w.give(total);
    });
    vec![main, produce, consume]
}

/// Recursion without an end, whose limit is a value; another fiber goes on.
fn bottomless(size: i64) -> Vec<Function> {
    const FALL: Func = 1;
    const GO_ON: Func = 2;
    let main = function("main", 1, 0, |w| {
        let many = w.int(size * 100);
        w.spawn(GO_ON, many);
        let fallen = w.call(FALL, &[many]);
        w.print("never", fallen);
        w.give(fallen);
    });
    let fall = function("fall", 1, 0, |w| {
        let thing = w.object(&[0]);
        let (one, held) = (w.int(1), w.load(thing, 0));
        let next = w.add(held, one);
        let result = w.call(FALL, &[next]);
        let held = w.load(thing, 0);
        let sum = w.add(result, held);
        w.give(sum);
    });
    let go_on = function("go on", 1, 0, |w| {
        let total = w.int(0);
        count_to(w, 0, |w, number| {
            let sum = w.add(total, number);
            w.set(total, sum);
        });
        w.print("went on to", total);
        w.give(total);
    });
    vec![main, fall, go_on]
}
