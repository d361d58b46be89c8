//! The port: what the sweeper asks of a heap.
//!
//! To the sweeper a heap is a row of indexes, at some of which a span begins. Each span has a
//! generation word, and the heap knows how to sweep one span that nobody else touches. That is
//! all. What a span holds, how its objects are found dead and where free memory goes stay the
//! heap's affair.
//!
//! Every method is called with no lock of this crate held, so a heap may lock inside, and drop
//! glue that runs inside [`SweepSpace::reclaim`] may allocate and so come back to
//! [`Sweeper::sweep_span`](crate::Sweeper::sweep_span).

use crate::{Claims, Glue};

/// A heap that can be swept span by span.
///
/// # Safety
///
/// The sweeper promises that a [`Claim`](crate::Claim) is handed out at most once a span and cycle,
/// and that whoever learns that a span is swept sees all that its sweeping wrote. For that the
/// implementer promises:
///
/// - The two methods on the generation word act on one atomic 32-bit word a span, in the orders
///   each names. ([`GenerationWord`](crate::GenerationWord) has them ready.)
/// - A word is 0 where no span begins. A span is born by publishing
///   [`Sweeper::generation`](crate::Sweeper::generation) after all its metadata is written; from
///   then on the word changes through the sweeper's claims alone.
/// - No span is born with an older generation once [`Sweeper::begin`](crate::Sweeper::begin) has
///   returned a newer one, or [`Sweeper::open`](crate::Sweeper::open) has returned.
/// - `spans` leaves out no span that was born before the present cycle began.
/// - `reclaim` destroys nothing but dead objects of the claimed span.
/// - Only `reclaim` unwinds.
pub unsafe trait SweepSpace: Sync {
    /// The span's generation word, by an Acquire load; 0 if no span begins at this index.
    fn generation(&self, span: u32) -> u32;

    /// Sets the word, by a Release store.
    fn publish_generation(&self, span: u32, generation: u32);

    /// The spans of one kind that begin at the 64 indexes from `from`, a multiple of 64: bit `i`
    /// for a span at `from + i`.
    ///
    /// Spans that are born or freed meanwhile may be in the answer or not, and of either kind: the
    /// word decides.
    fn spans(&self, from: u32, glue: Glue) -> u64;

    /// Sweeps the claimed spans, each of which the caller owns alone until its claim ends, and
    /// adds what that gave back to `tally`.
    ///
    /// There is one claim, or, of spans without drop glue, up to 64, so that what is looked up once
    /// serves all of them. Each is taken from the iterator and ends in one of three ways:
    ///
    /// - [`Claim::publish`](crate::Claim::publish), or [`Claims::publish`] for all that are left:
    ///   the span is swept and stays. Publish *before*
    ///   the span is put where an allocator can find it, or the allocator finds a span that is
    ///   still being swept.
    /// - [`Claim::retire`](crate::Claim::retire): the span is empty and its memory goes back.
    ///   Retire *before* the pages go back, or the word of the next span that is born there is
    ///   overwritten.
    /// - It is dropped, by an early return or by unwinding: published. Claims that were not taken
    ///   by then come again in another call.
    ///
    /// # Panics
    ///
    /// May unwind, when drop glue does. The span then counts as swept: objects that were not
    /// reclaimed have to wait for the next cycle, or are lost; that is the heap's choice.
    fn reclaim(&self, claims: &mut Claims<'_, Self>, tally: &mut Reclaimed);

    /// A visit that may have swept many spans ends: the place for what is dear to do a span, such
    /// as counting on a shared word or giving pages back. It is done before the visit counts as
    /// over, so that whoever waited in [`Sweeper::finish`](crate::Sweeper::finish) finds it done.
    ///
    /// Must not unwind. As provided, nothing.
    fn settle(&self) {}
}

/// What sweeping gave back, added up.
///
/// A sum that each span adds to, not a value that each returns: returned values went through
/// memory in pieces and were loaded whole, which waits for every store before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reclaimed {
    /// Objects found dead.
    pub freed_objects: u64,
    /// Bytes of their slots, or of whole spans if these were freed.
    pub freed_bytes: usize,
    /// Spans that were empty, and whose pages went back.
    pub spans_freed: usize,
}
