//! A value in a frame does not outlive it: its place does not leave the closure.

use runtime::stack::{EntryPoint, FrameKind, StackOptions, Stacks};

static TEXT: FrameKind<String> = FrameKind::new("text");

fn main() {
    let stacks = Stacks::new(StackOptions::default()).unwrap();
    let mut stack = stacks.stack(&EntryPoint::new("main")).unwrap();
    stack.run(|frames| {
        let place = frames.with(&TEXT, String::new(), |_, place| place).unwrap();
        println!("{}", frames.value(&place));
    });
}
