//! A marker looks at frames on another thread: what belongs to one thread is not kept there.

use runtime::Trace;
use runtime::stack::FrameKind;
use std::rc::Rc;

#[derive(Trace)]
struct Call {
    #[trace(skip)]
    name: Rc<str>,
}

fn main() {
    FrameKind::<Call>::leak("call");
}
