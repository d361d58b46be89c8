//! A reference or root to what is not `Sync` is not `Send`, if one could be made.

use runtime::{Gc, GcCell, Root, Weak};
use std::cell::Cell;

fn assert_send<T: Send>() {}
fn assert_sync<T: Sync>() {}

fn main() {
    assert_send::<Gc<'static, Cell<u8>>>();
    assert_sync::<GcCell<'static, Cell<u8>>>();
    assert_send::<Root<Cell<u8>>>();
    assert_sync::<Weak<'static, Cell<u8>>>();
}
