//! Nor does a borrow of it.

use runtime::stack::{EntryPoint, FrameKind, StackOptions, Stacks};

static TEXT: FrameKind<String> = FrameKind::new("text");

fn main() {
    let stacks = Stacks::new(StackOptions::default()).unwrap();
    let mut stack = stacks.stack(&EntryPoint::new("main")).unwrap();
    stack.run(|frames| {
        let text = frames.with(&TEXT, String::new(), |frames, place| frames.value(&place));
        println!("{}", text.unwrap());
    });
}
