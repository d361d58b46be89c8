//! What the analysis tells the users of a language, word by word.

use super::parse::parse;
use runtime::escape::{Decision, Options};

/// The explanation of the site of this name, by the text's statements.
fn explain(text: &str, name: &str) -> Vec<String> {
    let lines: Vec<String> = text
        .lines()
        .map(|line| format!("//: {}", line.trim()))
        .collect();
    let program = parse(&lines.join("\n")).program;
    let lowered = program.lower();
    let report = lowered.program.analyze(&Options::default());
    let mut sites = lowered.functions.iter().flat_map(|f| report.sites(*f));
    let (site, .., decision) = sites.find(|(_, known, ..)| *known == name).expect("a site");
    match report.explain(site) {
        None => assert!(decision != Decision::Heap, "the heap has a reason"),
        Some(explanation) => {
            let text = explanation.to_string();
            return text.lines().map(str::to_owned).collect();
        }
    }
    Vec::new()
}

#[test]
fn a_way_through_two_calls_and_an_object() {
    let text = "func keep(k)
        global = k
        func hold(h)
        keep(h)
        func main()
        local x
        local t; local u
        t = new
        u = &x
        t->0 = u
        hold(t)";
    assert_eq!(
        explain(text, "x"),
        [
            "main:6:1: `x` is on the heap:",
            "  main:9:1: `u` gets its address",
            "  main:10:1: `u` is stored through `t` into `new@8`",
            "  main:8:1: `new@8` is on the heap, or may be, with all it holds:",
            "    main:8:1: `t` gets its address",
            "    main:11:1: `t` is passed to `hold` as `h`, which leaks",
            "      hold:4:1: `h` is passed to `keep` as `k`, which leaks",
            "        keep:2:1: it is stored in the global `global`",
        ]
    );
}

#[test]
fn a_round_of_a_loop() {
    let text = "func main()
        local last
        loop
        local x
        last = &x
        next";
    assert_eq!(
        explain(text, "x"),
        [
            "main:4:1: `x` is on the heap:",
            "  main:5:1: `last` gets its address",
            "  main:5:1: `last` outlives the round of the loop in which `x` is made",
        ]
    );
    assert!(explain(text, "last").is_empty());
}

#[test]
fn a_result_and_the_callers_memory() {
    let text = "func main(out) r
        local x; local y; local t
        t = &y
        *out = t
        local u
        u = &x
        return u";
    assert_eq!(
        explain(text, "x"),
        [
            "main:2:1: `x` is on the heap:",
            "  main:6:1: `u` gets its address",
            "  main:7:1: `u` is returned as `result 0`",
            "  main:7:1: `result 0` goes to the caller, when the frame is gone",
        ]
    );
    assert_eq!(
        explain(text, "y"),
        [
            "main:2:1: `y` is on the heap:",
            "  main:3:1: `t` gets its address",
            "  main:4:1: `t` is stored through `out` into what `out` points to",
            "  main:4:1: what `out` points to belongs to the caller, and outlives the frame",
        ]
    );
}

#[test]
fn a_cycle_of_assignments_ends() {
    let text = "func main() r
        local x; local p; local q
        p = &x
        q = p
        p = q
        return q";
    assert_eq!(
        explain(text, "x")[1..],
        [
            "  main:3:1: `p` gets its address",
            "  main:4:1: `p` is assigned to `q`",
            "  main:6:1: `q` is returned as `result 0`",
            "  main:6:1: `result 0` goes to the caller, when the frame is gone",
        ]
    );
}

#[test]
fn a_size() {
    let text = "func main()
        local big 200000";
    assert_eq!(
        explain(text, "big"),
        [
            "main:2:1: `big` is on the heap:",
            "  main:2:1: its 200000 bytes are too many for a frame",
        ]
    );
}
