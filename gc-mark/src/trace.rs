//! What the marker must know of a type: where its references are.
//!
//! [`Trace::trace`] reports each reference of a value to a [`Visitor`]. The visitor is a type
//! parameter, never a trait object: each collector gets its own instance of each type's `trace`,
//! in which reporting an edge is a few inlined instructions.
//!
//! Nothing here knows an address from an index: an [`Object`] is a word that the heap's owner
//! understands, a [`Kind`] another. [`Rebrand`] is the other thing a derive knows of a type: what
//! it is called under another lifetime brand.

/// A reference to an object, as the marker carries it: one word, never followed here.
///
/// A heap of addresses stores the (exposed) address, a heap of indices the index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Object(pub usize);

/// The kind of an object: objects of one kind are scanned by one loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    /// The word by which the object model knows the kind (an address of a type's description, an
    /// index into a table). Two kinds differ exactly if their ids do. Below `usize::MAX`.
    pub id: usize,
    /// No object of this kind holds a reference: it is marked and never queued.
    pub noscan: bool,
}

/// Receives the edges of an object while it is scanned.
pub trait Visitor {
    /// Reports one edge: the object scanned refers to `object`, which is of `kind`.
    fn visit(&mut self, object: Object, kind: Kind);
}

/// A type whose references into the heap can be enumerated.
///
/// Use `#[derive(Trace)]`; it asks for everything below.
///
/// # Safety
///
/// * `trace` reports every reference into the heap that `self` holds, directly or in what it owns,
///   each time that it is called.
/// * If `NEEDS_TRACE` is false, no value of the type ever holds such a reference.
/// * The type's drop glue follows no such reference: its target may be gone.
/// * `trace` neither allocates in the heap, nor stores references, nor waits for a mutator.
pub unsafe trait Trace {
    /// Whether a value of this type can hold a reference into the heap.
    const NEEDS_TRACE: bool;

    /// Reports each reference that `self` holds.
    fn trace<V: Visitor>(&self, visitor: &mut V);
}

/// A type that is branded with a lifetime, under another brand.
///
/// `Node<'a>` becomes `Node<'to>`; a type without a brand stays itself. `#[derive(Trace)]`
/// implements it.
///
/// # Safety
///
/// `With<'to>` is the same type as `Self` with every brand lifetime replaced by `'to`, and nothing
/// else: same layout, same invariants.
pub unsafe trait Rebrand {
    /// This type under the brand `'to`.
    type With<'to>: ?Sized;
}
