//! A push may move the stack: no borrow of a frame lasts across it.

use runtime::stack::{EntryPoint, FrameKind, StackOptions, Stacks};

static CALL: FrameKind<u64, u64> = FrameKind::new("call");

fn main() {
    let stacks = Stacks::new(StackOptions::default()).unwrap();
    let mut stack = stacks.stack(&EntryPoint::new("main")).unwrap();
    stack.run(|frames| {
        frames.push(&CALL, 1, 4, 0).unwrap();
        let (head, _) = frames.top_mut(&CALL);
        frames.push(&CALL, 2, 4, 0).unwrap();
        *head = 3;
    });
}
