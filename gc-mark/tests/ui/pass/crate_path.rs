//! `#[trace(crate = path)]` names any path at which `gc-mark` is found.

mod vendored {
    pub(crate) use gc_mark as marker;
}

#[derive(gc_mark::Trace)]
#[trace(crate = crate::vendored::marker)]
struct Node<T>(Option<T>);

#[derive(gc_mark::Trace)]
#[trace(noscan, crate = ::gc_mark)]
struct Leaf;

fn main() {
    use vendored::marker::Trace;
    assert!(!<Node<u8>>::NEEDS_TRACE && !Leaf::NEEDS_TRACE);
    let Node(_) = Node(Some(Leaf));
}
