//! First light.
use runtime::{Gc, GcCell, Heap, Locked, Root, Trace};

#[derive(Trace)]
struct Node<'gc> {
    value: u64,
    next: GcCell<'gc, Node<'gc>>,
    others: Locked<Vec<Gc<'gc, Node<'gc>>>>,
    name: Gc<'gc, str>,
}

#[test]
fn lists_survive_and_garbage_goes() {
    let heap = Heap::new().unwrap();
    let mut mutator = heap.mutator();
    let root: Root<Node<'static>> = mutator.enter(|cx| {
        let mut head = None;
        for value in 0..100_000 {
            let node = cx.alloc(Node {
                value,
                next: GcCell::new(head),
                others: Locked::default(),
                name: cx.alloc_str("x"),
            });
            if let Some(head) = head {
                node.others.lock(cx).push(head);
            }
            head = Some(node);
        }
        cx.root(head.unwrap())
    });
    let before = heap.stats();
    let cycle = mutator.collect().unwrap();
    println!("{before:#?} {cycle:#?}");
    mutator.enter(|cx| {
        let mut node = Some(root.get(cx));
        let mut expected = 100_000;
        while let Some(n) = node {
            expected -= 1;
            assert_eq!(n.value, expected);
            assert_eq!(&*n.name, "x");
            node = n.next.get();
        }
        assert_eq!(expected, 0);
    });
    drop(root);
    let cycle = mutator.collect().unwrap();
    println!("{cycle:#?} {:#?}", heap.stats());
    assert_eq!(heap.stats().live_bytes, 0);
}
