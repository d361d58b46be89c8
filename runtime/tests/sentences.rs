//! What stacks and the escape analysis say: of themselves, and to those who must know why.

use runtime::Heap;
use runtime::escape::{Callee, Capture, Options, Program, Sink, Size};
use runtime::pacer::Cycle;
use runtime::stack::{EntryPoint, FRAME_BYTES_MAX, FrameKind, StackError, StackOptions, Stacks};
use std::time::Duration;

static CALL: FrameKind<u64, u32> = FrameKind::new("call");

#[test]
fn stacks_say_what_they_are_and_why_a_frame_does_not_fit() {
    let options = StackOptions {
        limit_bytes: 32 << 10,
        ..StackOptions::default()
    };
    let stacks = Stacks::new(options).expect("a range of addresses");
    let entry = EntryPoint::new("main");
    let mut stack = stacks.stack(&entry).expect("memory for a stack");
    assert!(
        format!("{stacks:?}").starts_with("Stacks { options: "),
        "{stacks:?}"
    );
    assert!(format!("{stack:?}").contains("depth: 0"), "{stack:?}");
    assert!(
        format!("{entry:?}").starts_with("EntryPoint(main, "),
        "{entry:?}"
    );
    let named: &FrameKind<u64> = FrameKind::leak(&format!("run-{}", 7));
    assert_eq!(
        (named.name(), format!("{CALL:?}")),
        ("run-7", "FrameKind(call)".into())
    );
    stack.run(|frames| {
        let refused = frames.push(&CALL, 1, FRAME_BYTES_MAX, 0).unwrap_err();
        assert!(matches!(
            refused.cause,
            StackError::FrameTooLarge { kind: "call" }
        ));
        assert!(
            refused
                .to_string()
                .contains("keep what is large in the heap")
        );
        assert!(format!("{refused:?}").starts_with("Refused { cause: "));
        let refused = frames.push(&CALL, 1, 15_000, 0).unwrap_err();
        assert!(
            refused
                .to_string()
                .contains("raise `StackOptions::limit_bytes`")
        );
        assert_eq!(refused.head, 1);
    });
}

#[test]
fn what_callers_need_of_a_function_is_enough_elsewhere() {
    let mut program = Program::new();
    assert!(program.is_empty());
    let keep = program.declare("keep", &["kept", "passed"], 1);
    let mut body = program.define(keep);
    let (kept, passed) = (body.parameter(0), body.parameter(1));
    body.at(1, 2).set_global("global", kept);
    let result = body.result(0);
    body.at(1, 3).assign(result, 0, passed);
    let report = program.analyze(&Options::default());
    let why = report.explain_leak(keep, 0).expect("it leaks").to_string();
    assert!(
        why.starts_with("keep: what `kept` holds leaks to the heap:"),
        "{why}"
    );
    assert!(report.explain_leak(keep, 1).is_none());
    let summary = report.summary(keep).expect("it is defined").clone();
    assert_eq!(summary.least(0, Sink::Heap), Some(0));
    assert_eq!(summary.least(1, Sink::Result(0)), Some(0));
    assert_eq!(summary.least(1, Sink::Heap), None);
    assert_eq!(summary.to_string(), "#0 -> heap, #1 -> result 0");

    let mut elsewhere = Program::new();
    let keep = elsewhere.declare("keep", &["kept", "passed"], 1);
    elsewhere.import(keep, summary);
    let main = elsewhere.declare("main", &[], 0);
    assert_eq!(elsewhere.len(), 2);
    let mut body = elsewhere.define(main);
    let [x, y, to_x, to_y] =
        ["x", "y", "to x", "to y"].map(|name| body.local(name, Size::Bytes(8)));
    body.address_of(to_x, x).address_of(to_y, y);
    body.call(Callee::Static(keep), &[to_x, to_y], &[]);
    assert_eq!(x.site().function(), main);
    let report = elsewhere.analyze(&Options::default());
    let why = report
        .explain(x.site())
        .expect("it is on the heap")
        .to_string();
    assert!(
        why.contains("passed to `keep` as `kept`, which leaks"),
        "{why}"
    );
    assert!(report.explain(y.site()).is_none());
}

#[test]
fn every_way_to_the_heap_has_its_sentence() {
    let mut program = Program::new();
    let inner = program.declare_closure("inner", &["i"], &["c"], 0);
    let body = program.define(inner);
    let captured = body.captured(0);
    { body }.set_global("g", captured);
    let read = program.declare("read", &["r"], 1);
    let mut body = program.define(read);
    let (r, result) = (body.parameter(0), body.result(0));
    body.assign(result, 0, r);
    let main = program.declare("main", &["unused"], 0);
    let mut body = program.define(main);
    let names = ["later", "beside", "anyone", "held", "large", "read on"];
    let vars = names.map(|name| body.local(name, Size::Bytes(8)));
    let pointers = names.map(|name| body.local(&format!("to {name}"), Size::Bytes(8)));
    for (pointer, var) in pointers.iter().zip(&vars) {
        body.address_of(*pointer, *var);
    }
    body.enter_loop();
    body.defer(Callee::Static(read), &[pointers[0]]);
    body.leave_loop();
    body.spawn(Callee::Static(read), &[pointers[1]]);
    body.call(Callee::Unknown, &[pointers[2]], &[]);
    let function = body.local("function", Size::Bytes(8));
    body.closure(function, inner, &[Capture::Value(pointers[3])]);
    let huge = body.allocate(pointers[4], "huge", Size::Bytes(1 << 40));
    let again = body.local("again", Size::Bytes(8));
    body.call(Callee::Static(read), &[pointers[5]], &[again]);
    body.set_global("h", again);
    let report = program.analyze(&Options::default());
    let why = |site| {
        report
            .explain(site)
            .map_or(String::new(), |why| why.to_string())
    };
    let said: Vec<String> = vars.iter().map(|var| why(var.site())).collect();
    for (said, part) in said.iter().zip([
        "",
        "is passed to what runs on another stack",
        "is passed to unknown code",
        "`inner` captures it",
        "",
        "`read` takes what it is passed as `r` to `again`",
    ]) {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(
        why(huge).contains("bytes are too many for a frame"),
        "{}",
        why(huge)
    );
}

#[test]
fn frames_and_turns_print_what_they_are() {
    let heap = Heap::new().expect("a range of addresses");
    let stacks = Stacks::of(&heap, StackOptions::default());
    let mut stack = stacks.stack(&EntryPoint::new("turns")).unwrap();
    heap.mutator().fibers(|fibers| {
        assert!(
            format!("{fibers:?}").starts_with("Fibers { collector"),
            "{fibers:?}"
        );
        fibers.turn(&mut stack, |_, frames| {
            let at = frames.push(&CALL, 7, 0, 0).expect("room");
            assert_eq!(at.depth(), 0);
            assert!(
                format!("{frames:?}").starts_with("Frames { depth: 1"),
                "{frames:?}"
            );
            assert_eq!(frames.pop(&CALL), 7);
        });
    });
}

#[test]
fn a_cycle_tells_its_share_of_the_processors() {
    let cycle = Cycle {
        mark_cpu: Duration::from_millis(30),
        since_last: Duration::from_millis(100),
        wall: Duration::ZERO,
        ..Cycle::default()
    };
    assert!((cycle.cpu_share(2) - 0.15).abs() < 1e-9);
    assert_eq!(cycle.mark_share(2), 0.0, "no time, no share");
}
