//! What a random program makes: objects of every kind, and pairs in weak maps.
//!
//! Memory that is not to be had is no failure here: nothing is made then, and the twin knows of
//! nothing.

use crate::graph::{Model, Twin, cells_of};
use crate::objects::{
    AnyRoot, Item, LARGE_WORDS, Large, Map, Node, Ref, Shelf, TOKENS_MAX, Table, text_of,
};
use runtime::{Collector, Cx, Gc, GcCell, Locked, RwLocked};
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

impl Model {
    /// Allocates an object of a random kind; `None` if there is no memory for it.
    pub(crate) fn make<'gc, C: Collector>(&mut self, cx: &Cx<'gc, C>) -> Option<(u64, Ref<'gc>)> {
        let id = self.fresh_id();
        let mut twin = Twin {
            tokens: 1,
            ..Twin::default()
        };
        let Some(made) = self.try_make(cx, id, &mut twin) else {
            self.drops.forget(id * TOKENS_MAX..(id + 1) * TOKENS_MAX);
            return None;
        };
        self.twins.insert(id, twin);
        Some((id, made))
    }

    fn fresh_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    fn try_make<'gc, C: Collector>(
        &mut self,
        cx: &Cx<'gc, C>,
        id: u64,
        twin: &mut Twin,
    ) -> Option<Ref<'gc>> {
        let drops = self.drops.clone();
        let token = |index| drops.token(id * TOKENS_MAX + index);
        Some(match self.random.below(42) {
            0 => Ref::Large(
                cx.try_alloc(Large {
                    token: token(0),
                    words: [id; LARGE_WORDS],
                    edges: Locked::default(),
                })
                .ok()?,
            ),
            1..5 => {
                twin.tokens = 0;
                Ref::Text(cx.try_alloc_str(&text_of(id)).ok()?)
            }
            5..10 => {
                let len = self.random.below(6);
                let to: Vec<_> = (0..len).filter_map(|_| self.walk(cx)).collect();
                (twin.tokens, twin.edges) = (to.len() as u64, to.iter().map(|to| to.0).collect());
                let items = (0..).zip(to).map(|(index, (_, to))| Item {
                    token: token(index),
                    to,
                });
                let items: Vec<_> = items.collect();
                Ref::Slice(cx.try_alloc_slice(items).ok()?)
            }
            10..12 => Ref::Table(
                cx.try_alloc(Table {
                    token: token(0),
                    edges: RwLocked::default(),
                })
                .ok()?,
            ),
            12 => {
                twin.tokens = 0;
                let cells: Vec<_> = (0..cells_of(id)).map(|_| GcCell::empty()).collect();
                Ref::Cells(cx.try_alloc_slice(cells).ok()?)
            }
            13..15 => Ref::Shelf(self.shelf(cx, id)?),
            15..18 => Ref::Map(self.map(cx, id)?),
            _ => Ref::Node(
                cx.try_alloc(Node {
                    token: token(0),
                    edges: Locked::default(),
                    cell: GcCell::empty(),
                    weak: Locked::default(),
                })
                .ok()?,
            ),
        })
    }

    fn shelf<'gc, C: Collector>(&self, cx: &Cx<'gc, C>, id: u64) -> Option<Gc<'gc, Shelf<'gc>>> {
        let numbers = || cx.try_alloc_slice([id; 3]).ok();
        let shelf = Shelf {
            numbers: [numbers()?, numbers()?],
            token: self.drops.token(id * TOKENS_MAX),
            edges: Box::default(),
        };
        cx.try_alloc(shelf).ok()
    }

    fn map<'gc, C: Collector>(&self, cx: &Cx<'gc, C>, id: u64) -> Option<Gc<'gc, Map<'gc>>> {
        let map = Map {
            token: self.drops.token(id * TOKENS_MAX),
            pairs: Default::default(),
        };
        cx.try_alloc(map).ok()
    }

    /// A map that the roots reach, if a few walks come to one; or else a new root.
    fn find_map<'gc, C: Collector>(&mut self, cx: &Cx<'gc, C>) -> Option<(u64, Gc<'gc, Map<'gc>>)> {
        let found = (0..2).find_map(|_| match self.walk(cx) {
            Some((id, Ref::Map(map))) if self.twins.contains_key(&id) => Some((id, map)),
            _ => None,
        });
        if found.is_some() {
            return found;
        }
        let known = self.roots.iter().find_map(|(id, root)| match root.get(cx) {
            Ref::Map(map) if self.twins.contains_key(id) => Some((*id, map)),
            _ => None,
        });
        if known.is_some() {
            return known;
        }
        let id = self.fresh_id();
        let Some(map) = self.map(cx, id) else {
            self.drops.forget(id * TOKENS_MAX..(id + 1) * TOKENS_MAX);
            return None;
        };
        let twin = Twin {
            tokens: 1,
            ..Twin::default()
        };
        self.twins.insert(id, twin);
        self.roots.push((id, AnyRoot::new(cx, Ref::Map(map))));
        Some((id, map))
    }

    /// Sets, looks up or takes away what belongs to a node in a weak map.
    pub(crate) fn pair<C: Collector>(&mut self, cx: &Cx<'_, C>) {
        let Some((id, map)) = self.find_map(cx) else {
            return;
        };
        let choice = self.random.below(4);
        let key = match choice {
            // One that is there, or few would ever be met again.
            0 | 1 => {
                let keys = map.pairs.entries(cx).into_iter().map(|(key, _)| key);
                keys.map(|key| (key.token.id / TOKENS_MAX, key))
                    .min_by_key(|(key_id, _)| *key_id)
            }
            _ => self.walk_to_node(cx),
        };
        let Some((key_id, key)) = key else { return };
        let known = self.twins[&id].pairs.get(&key_id).copied();
        let old = match choice {
            0 => {
                let old = map.pairs.remove(cx, key);
                self.twins.entry(id).or_default().pairs.remove(&key_id);
                old
            }
            1 => map.pairs.get(cx, key),
            _ => {
                let Some((value_id, value)) = self.walk_to_node(cx) else {
                    return;
                };
                let old = map.pairs.insert(cx, key, value);
                let pairs = &mut self.twins.entry(id).or_default().pairs;
                pairs.insert(key_id, value_id);
                old
            }
        };
        assert_eq!(old.is_some(), known.is_some(), "{key_id} in map {id}");
        if let Some((value_id, value)) = known.zip(old) {
            self.check(value_id, Ref::Node(value));
        }
    }

    /// Compares the weak maps that were seen with their twins; the values of keys that were seen
    /// and that were not seen themselves.
    pub(crate) fn verify_pairs<'gc, C: Collector>(
        &self,
        cx: &Cx<'gc, C>,
        seen: &HashMap<u64, Ref<'gc>>,
    ) -> Vec<(u64, Ref<'gc>)> {
        let mut found = Vec::new();
        for (id, at) in seen {
            let Ref::Map(map) = at else { continue };
            let pairs = &self.twins[id].pairs;
            for (key_id, value_id) in pairs {
                let Some(Ref::Node(key)) = seen.get(key_id) else {
                    continue;
                };
                let value = map.pairs.get(cx, *key);
                let value = value.unwrap_or_else(|| panic!("map {id} has lost {key_id}"));
                self.check(*value_id, Ref::Node(value));
                if !seen.contains_key(value_id) {
                    found.push((*value_id, Ref::Node(value)));
                }
            }
            for (key, value) in map.pairs.entries(cx) {
                let value_id = pairs.get(&(key.token.id / TOKENS_MAX));
                let value_id = *value_id.expect("an entry that nobody made");
                self.check(value_id, Ref::Node(value));
            }
        }
        found
    }

    /// A panic with a list locked.
    pub(crate) fn panic_locked<C: Collector>(&mut self, cx: &Cx<'_, C>) -> ! {
        let node = self.walk_to_node(cx);
        let _guard = node.as_ref().map(|(_, node)| node.edges.lock(cx));
        // No hook, no message.
        resume_unwind(Box::new("planned"));
    }

    /// A slice whose elements stop coming half-way: it is not there, and its elements are dropped.
    pub(crate) fn break_slice<C: Collector>(&mut self, cx: &Cx<'_, C>) {
        let Some((_, to)) = self.walk(cx) else { return };
        let id = self.fresh_id();
        let (drops, stop) = (self.drops.clone(), self.random.below(6));
        let items = (0..6).map(|index| {
            if index == stop {
                resume_unwind(Box::new("planned"));
            }
            Item {
                token: drops.token(id * TOKENS_MAX + index as u64),
                to,
            }
        });
        let made = catch_unwind(AssertUnwindSafe(|| cx.try_alloc_slice(items).is_ok()));
        // With no memory nothing is asked of the iterator.
        assert!(made.is_err() || made.is_ok_and(|made| !made));
        self.drops.forget(id * TOKENS_MAX..(id + 1) * TOKENS_MAX);
    }

    /// A closure that runs for long and polls, so that cycles may end inside it.
    pub(crate) fn linger<C: Collector>(&mut self, cx: &Cx<'_, C>, count: usize) {
        let held = self.walk(cx);
        for n in 0..count as u64 {
            cx.poll();
            _ = cx.try_alloc([n; 5]);
        }
        if let Some((id, at)) = held {
            self.check(id, at);
            self.roots.push((id, AnyRoot::new(cx, at)));
        }
    }
}
