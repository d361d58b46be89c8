//! The handle table: what has a handle is reported, and what loses it beside a collector is logged.

use super::model;
use crate::raw::roots::{Handle, RootTable};
use gc_mark::{Kind, Object, Visitor};
use loom::thread;
use std::sync::Arc;

/// The objects that a scan of all jobs reports.
fn scanned(table: &RootTable) -> Vec<usize> {
    struct Seen(Vec<usize>);
    impl Visitor for Seen {
        fn visit(&mut self, object: Object, _kind: Kind) {
            self.0.push(object.0);
        }
    }
    let mut seen = Seen(Vec::new());
    (0..table.jobs()).for_each(|job| table.scan(job, &mut seen));
    seen.0.sort_unstable();
    seen.0
}

fn handle(table: &Arc<RootTable>, object: usize) -> Handle {
    let kind = Kind {
        id: 0,
        noscan: true,
    };
    Handle::new(table, Object(object), kind)
}

/// Two threads clone a handle and drop what they cloned it from, one makes another handle, one
/// scans. What has a handle is reported, once; what has none is not.
///
/// Kills: `clone-uncounted`, `clone-in-two-steps`, `free-while-counted`, `scan-of-free`.
#[test]
fn handles() {
    model("handles", || {
        let table = Arc::new(RootTable::default());
        drop(handle(&table, 9));
        let shared = Arc::new(handle(&table, 1));
        let other = thread::spawn({
            let (table, shared) = (table.clone(), shared.clone());
            move || {
                let clone = Handle::clone(&shared);
                drop(shared);
                (clone, handle(&table, 2))
            }
        });
        let clone = Handle::clone(&shared);
        drop(shared);
        let seen = scanned(&table);
        assert!(seen == [1] || seen == [1, 2], "{seen:?}");
        drop(clone);
        assert!(
            scanned(&table).starts_with(&[1]),
            "a clone or the first is left"
        );
        let (clone, second) = other.join().unwrap();
        assert_eq!(scanned(&table), [1, 2]);
        drop(clone);
        assert_eq!(scanned(&table), [2]);
        drop(second);
        assert_eq!((scanned(&table).len(), table.len()), (0, 0));
    });
}

/// A table with a first piece that has room, and a second with a handle of object 1.
fn two_pieces() -> (Arc<RootTable>, Handle) {
    let table = Arc::new(RootTable::default());
    let [first, second, third] = [7, 8, 1].map(|object| handle(&table, object));
    assert_eq!(table.jobs(), 2, "the model needs two pieces");
    drop((first, second));
    (table, third)
}

/// A handle of an object is dropped while the table is scanned, after a new one was made of it
/// where the scan has been already: the object is scanned or logged.
///
/// Kills: `drop-not-logged`, `table-logs-never`.
#[test]
fn drop_and_scan() {
    model("drop_and_scan", || {
        let (table, old) = two_pieces();
        table.set_logging(true);
        let mutator = thread::spawn({
            let table = table.clone();
            move || {
                let new = handle(&table, 1);
                drop(old);
                new
            }
        });
        let mut seen = scanned(&table);
        seen.extend(table.take_log(|_| false).iter().map(|(object, _)| object.0));
        let new = mutator.join().unwrap();
        seen.extend(table.take_log(|_| false).iter().map(|(object, _)| object.0));
        assert!(seen.contains(&1), "lost while it was moved: {seen:?}");
        drop(new);
    });
}

/// The switch: what is dropped after it was switched on is logged; what was logged is forgotten
/// when it is switched off, and nothing is logged any more.
///
/// Kills: `table-logs-always`, `log-kept`.
#[test]
fn switch() {
    model("switch", || {
        let (table, last) = two_pieces();
        let other = handle(&table, 2);
        let mutator = thread::spawn(move || drop((last, other)));
        table.set_logging(true);
        let seen = scanned(&table);
        table.set_logging(false);
        assert!(
            table.take_log(|_| false).is_empty(),
            "logged, and not forgotten"
        );
        mutator.join().unwrap();
        assert!(table.take_log(|_| false).is_empty(), "logged for nobody");
        assert!(seen.len() <= 2 && table.len() == 0);
    });
}
