//! A traced type without `Drop` can be taken apart, and recursive types are their own fields.

#[path = "../fake.rs"]
mod fake;

use fake::Gc;
use gc_mark::{Rebrand, Trace};

#[derive(Trace)]
struct Node<'gc, T> {
    value: T,
    children: Vec<Node<'gc, T>>,
    parent: Option<Gc<'gc, Self>>,
}

#[derive(Trace)]
enum List<T> {
    Nil,
    Cons(T, Box<List<T>>),
}

fn same<A: Rebrand<With<'static> = B>, B>(_: &A) {}

fn check<'gc>(brand: Gc<'gc, u8>) {
    let node = Node { value: brand, children: Vec::new(), parent: None };
    same::<Node<'gc, Gc<'gc, u8>>, Node<'static, Gc<'static, u8>>>(&node);
    let Node { value, children, parent } = node;
    assert!(value.object == 1 && children.is_empty() && parent.is_none());
    let list = List::Cons(value, Box::new(List::Nil));
    same::<List<Gc<'gc, u8>>, List<Gc<'static, u8>>>(&list);
    match list {
        List::Cons(value, tail) => assert!(value.object == 1 && matches!(*tail, List::Nil)),
        List::Nil => unreachable!(),
    }
}

fn main() {
    check(Gc::new(1));
}
