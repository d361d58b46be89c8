//! `WeakMap`: what is known of objects that it does not keep alive.

use crate::collector::Collector;
use crate::cx::Cx;
use crate::ephemeron::Ephemeron;
use crate::gc::Gc;
use crate::raw::ephemerons::ByAddress;
use crate::repr::Managed;
use crate::rw_locked::RwLocked;
use gc_mark::{Rebrand, Trace, Visitor};
use std::fmt;

/// Entries below which a map is not worth looking through.
const PURGE_MIN: usize = 32;

/// A map from objects, by identity, to values that live as long as their keys, and the map, do:
/// even if a value leads back to its key.
///
/// A field of an object, behind a lock of its own: many mutators read, one changes. An entry whose
/// key has been found dead cannot be seen any more; its place is taken back when the map has
/// doubled, or by [`Self::purge`]. The operations take constant time on average, but for the first
/// change in a cycle that marks beside the mutators: it logs every entry, as
/// [`RwLocked::write`](crate::RwLocked::write) does.
///
/// ```
/// use runtime::{Gc, Heap, Trace, WeakMap};
///
/// #[derive(Trace)]
/// struct Notes<'gc>(WeakMap<'gc, u32, str>);
///
/// let heap = Heap::new()?;
/// let mut mutator = heap.mutator();
/// let (notes, number) = mutator.enter(|cx| {
///     let notes = cx.alloc(Notes(WeakMap::new()));
///     let (kept, lost) = (cx.alloc(1), cx.alloc(2));
///     notes.0.insert(cx, kept, cx.alloc_str("one"));
///     notes.0.insert(cx, lost, cx.alloc_str("two"));
///     (cx.root(notes), cx.root(kept))
/// });
/// mutator.collect()?;
/// mutator.enter(|cx| {
///     let notes = &notes.get(cx).0;
///     assert_eq!(notes.get(cx, number.get(cx)).as_deref(), Some("one"));
///     assert_eq!(notes.purge(cx), 1);
/// });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct WeakMap<'gc, K: ?Sized, V: ?Sized> {
    table: RwLocked<Table<'gc, K, V>>,
}

struct Table<'gc, K: ?Sized, V: ?Sized> {
    /// By the address that the key had; the entry may be of an object that was there before.
    entries: ByAddress<Ephemeron<'gc, K, V>>,
    /// At so many entries the map is looked through.
    purge_at: usize,
}

impl<'gc, K: ?Sized, V: ?Sized> Table<'gc, K, V> {
    fn find(&self, key: Gc<'gc, K>) -> Option<Ephemeron<'gc, K, V>> {
        let entry = self.entries.get(&Gc::address(key))?;
        entry.is_of(key).then_some(*entry)
    }

    fn purge(&mut self) -> usize {
        self.entries.retain(|_, entry| !entry.is_cleared());
        self.purge_at = (2 * self.entries.len()).max(PURGE_MIN);
        self.entries.len()
    }
}

impl<K: ?Sized, V: ?Sized> WeakMap<'_, K, V> {
    /// A map without entries.
    pub fn new() -> Self {
        Self {
            table: RwLocked::new(Table {
                entries: ByAddress::default(),
                purge_at: PURGE_MIN,
            }),
        }
    }
}

impl<K: ?Sized, V: ?Sized> Default for WeakMap<'_, K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'gc, K: ?Sized + Managed, V: ?Sized + Managed> WeakMap<'gc, K, V> {
    /// Sets the value of `key`; what it was.
    ///
    /// # Panics
    ///
    /// If there is no memory for 24 bytes. The map is as before then.
    pub fn insert<C: Collector>(
        &self,
        cx: &Cx<'gc, C>,
        key: Gc<'gc, K>,
        value: Gc<'gc, V>,
    ) -> Option<Gc<'gc, V>> {
        {
            // Held while the value is replaced, so that nobody removes the entry meanwhile.
            let table = self.table.read(cx);
            if let Some(entry) = table.find(key) {
                return entry.swap(cx, Some(value));
            }
        }
        let fresh = cx.ephemeron(key, value);
        let mut table = self.table.write_branded(cx);
        // Another mutator may have been faster.
        if let Some(entry) = table.find(key) {
            return entry.swap(cx, Some(value));
        }
        if table.entries.len() >= table.purge_at {
            table.purge();
        }
        table.entries.insert(Gc::address(key), fresh);
        None
    }

    /// The value of `key`.
    pub fn get<C: Collector>(&self, cx: &Cx<'gc, C>, key: Gc<'gc, K>) -> Option<Gc<'gc, V>> {
        let entry = self.table.read(cx).find(key)?;
        entry.get(cx)
    }

    /// Takes the value of `key` away; what it was.
    pub fn remove<C: Collector>(&self, cx: &Cx<'gc, C>, key: Gc<'gc, K>) -> Option<Gc<'gc, V>> {
        let mut table = self.table.write_branded(cx);
        let entry = table.find(key)?;
        table.entries.remove(&Gc::address(key));
        entry.swap(cx, None)
    }

    /// The entries, in no order: a list that the caller holds, and that keeps them alive.
    pub fn entries<C: Collector>(&self, cx: &Cx<'gc, C>) -> Vec<(Gc<'gc, K>, Gc<'gc, V>)> {
        let entries: Vec<_> = self.table.read(cx).entries.values().copied().collect();
        let both = |entry: Ephemeron<'gc, K, V>| entry.key(cx).zip(entry.get(cx));
        entries.into_iter().filter_map(both).collect()
    }

    /// Takes back the places of entries whose keys have been found dead; how many entries are
    /// left. Linear in the number of entries.
    pub fn purge<C: Collector>(&self, cx: &Cx<'gc, C>) -> usize {
        self.table.write_branded(cx).purge()
    }
}

impl<K: ?Sized, V: ?Sized> fmt::Debug for WeakMap<'_, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeakMap").finish_non_exhaustive()
    }
}

// SAFETY: reports the entries' cells; its drop glue follows none of them.
unsafe impl<K: ?Sized, V: ?Sized> Trace for Table<'_, K, V> {
    const NEEDS_TRACE: bool = true;

    fn trace<T: Visitor>(&self, visitor: &mut T) {
        self.entries.trace(visitor);
    }
}

// SAFETY: the entries' brand is replaced and nothing else.
unsafe impl<'gc, K: ?Sized + Rebrand, V: ?Sized + Rebrand> Rebrand for Table<'gc, K, V> {
    type With<'to> = Table<'to, K::With<'to>, V::With<'to>>;
}

// SAFETY: reports what the table reports; the drop glue is the table's.
unsafe impl<K: ?Sized, V: ?Sized> Trace for WeakMap<'_, K, V> {
    const NEEDS_TRACE: bool = true;

    fn trace<T: Visitor>(&self, visitor: &mut T) {
        self.table.trace(visitor);
    }
}

// SAFETY: the table's brand is replaced and nothing else.
unsafe impl<'gc, K: ?Sized + Rebrand, V: ?Sized + Rebrand> Rebrand for WeakMap<'gc, K, V> {
    type With<'to> = WeakMap<'to, K::With<'to>, V::With<'to>>;
}
