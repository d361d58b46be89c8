//! Programs for what chance seldom does, each run many times on the machine.

use super::machine::{self, RunFrom};
use super::parse::parse;
use runtime::escape::Options;

/// Runs a text's `main` often, and expects no fault.
fn sound(text: &str) {
    let lines: Vec<String> = text
        .lines()
        .map(|line| format!("//: {}", line.trim()))
        .collect();
    let program = parse(&lines.join("\n")).program;
    let lowered = program.lower();
    let report = lowered.program.analyze(&Options::default());
    let main = program
        .functions
        .iter()
        .position(|func| func.name == "main");
    let from = RunFrom::Function(main.expect("a text has a `main`"));
    let decide = |site| report.decision(site);
    for seed in 0..3_000 {
        if let Err(fault) = machine::run_as(&program, &lowered, &decide, seed, from) {
            panic!("seed {seed}: {fault:?}");
        }
    }
}

#[test]
fn unknown_code_writes_into_what_escaped() {
    sound(
        "func main()
        local x; local h; local t; local y; local k; local u
        t = &x
        global = t
        h = new
        global = h
        ?(t, h)
        y = x.0
        u = &k
        *y = u",
    );
}

#[test]
fn a_callee_points_into_the_middle() {
    sound(
        "func middle(p) r
        local q
        q = &p->1
        return q
        func main() r
        local x; local k; local t; local q; local w; local v
        t = &x
        q = middle(t)
        w = &k
        q->0 = w
        v = x.1
        return v",
    );
}

#[test]
fn a_pointer_into_the_middle() {
    sound(
        "func main() r
        local x; local k; local t; local q; local w; local v
        t = &x
        q = &t->1
        w = &k
        q->0 = w
        v = x.1
        return v",
    );
}

#[test]
fn an_interface_call_has_several_targets() {
    sound(
        "func one(p)
        func two(p)
        global = p
        func main()
        local x; local t
        t = &x
        one|two(t)",
    );
}

#[test]
fn an_unknown_closure_returns_what_it_captured() {
    sound(
        "func calls(f)
        local t
        t = *f()
        global = t
        func main()
        local x; local f
        begin body()[&x] r
        return x
        end f
        calls(f)",
    );
}

#[test]
fn a_callee_stores_in_its_callers_memory() {
    sound(
        "func setter(t, p)
        t->0 = p
        func main() r
        local x; local t; local p; local q
        p = &t; q = &x
        setter(p, q)
        return t",
    );
}

#[test]
fn unknown_code_calls_a_closure_with_what_it_knows() {
    sound(
        "func calls(f)
        local h
        h = new
        global = h
        *f(h)
        func main()
        local x; local f; local k; local t
        begin body(p)[&x]
        *x = p
        end f
        calls(f)
        local y
        y = x
        t = &k
        *y = t",
    );
}

#[test]
fn a_callee_follows_many_pointers() {
    sound(
        "func deep(p) r
        local t
        t = *****p
        return t
        func main() r
        local a; local b; local c; local d; local e; local f; local t
        e = &f; d = &e; c = &d; b = &c; a = &b; t = &a
        local u; local k; local v; local w
        u = deep(t)
        v = &k
        *u = v
        w = f
        return w",
    );
}

#[test]
fn parameters_lead_to_one_object() {
    sound(
        "func mix(a, b, c)
        local x; local y
        x = new
        *a = x
        global = x
        y = *b
        *y = c
        func main()
        local l; local k; local s; local t; local u
        s = &l; t = &k
        mix(s, s, t)",
    );
}

#[test]
fn a_deferred_call_in_a_loop_waits() {
    sound(
        "func nothing(p)
        func main()
        local y
        loop
        local x; local t
        t = &x
        defer nothing(t)
        next",
    );
}

#[test]
fn unknown_code_returns_what_it_knows() {
    sound(
        "func main()
        local h; local k; local t; local u
        h = new
        global = h
        u = ?()
        t = &k
        *u = t",
    );
}

#[test]
fn more_is_passed_than_is_declared() {
    sound(
        "func none()
        func main()
        local x; local t
        t = &x
        none(t)",
    );
}

#[test]
fn more_is_returned_than_is_declared() {
    sound(
        "func none()
        func main()
        local h; local k; local t; local u
        h = new
        global = h
        u = none()
        t = &k
        *u = t",
    );
}
