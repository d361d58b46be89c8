//! A turn's frames log to their thread's mutator, and do not leave the thread.

use runtime::stack::{EntryPoint, StackOptions, Stacks};

fn main() {
    let stacks = Stacks::new(StackOptions::default()).unwrap();
    let mut stack = stacks.stack(&EntryPoint::new("main")).unwrap();
    stack.run(|frames| {
        std::thread::scope(|scope| {
            scope.spawn(|| frames.discard());
        });
    });
}
