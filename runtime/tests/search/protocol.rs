//! The protocol's points as values: what ships, and what each variant changes.

/// How far the collector has come. Each step up to [`World::Marking`] is published, then
/// acknowledged by every mutator, before the next is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum World {
    /// H1 is published.
    Arming,
    /// H2 is published: everyone logs.
    Armed,
    /// H3 is published: everyone knows that everyone logs.
    Starting,
    /// Every mutator has done H3: roots are taken and objects scanned.
    Marking,
    /// The collector has read the counter of early flushes and is about to begin a wave.
    Poised,
    /// H4 is published, and the acknowledgements are awaited.
    Wave,
    /// The wave has proven the end. Weak references to the dead are still there.
    Clearing,
    /// They are cleared, and H5 is published.
    Sweeping,
    /// Every mutator has done H5.
    Done,
}

impl World {
    const ALL: [Self; 9] = [
        Self::Arming,
        Self::Armed,
        Self::Starting,
        Self::Marking,
        Self::Poised,
        Self::Wave,
        Self::Clearing,
        Self::Sweeping,
        Self::Done,
    ];

    pub(crate) fn at(index: u64) -> Self {
        Self::ALL[index as usize]
    }
}

/// What a mutator has acknowledged last, H4 apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Phase {
    Idle,
    Arming,
    Armed,
    Marking,
    Sweeping,
}

impl Phase {
    const ALL: [Self; 5] = [
        Self::Idle,
        Self::Arming,
        Self::Armed,
        Self::Marking,
        Self::Sweeping,
    ];

    pub(crate) fn at(index: u64) -> Self {
        Self::ALL[index as usize]
    }

    /// What a mutator is in that has acknowledged all that `world` has published.
    pub(crate) fn published(world: World) -> Self {
        match world {
            World::Arming => Self::Arming,
            World::Armed => Self::Armed,
            World::Sweeping | World::Done => Self::Sweeping,
            _ => Self::Marking,
        }
    }

    /// Whether the mutator logs what it overwrites.
    pub(crate) fn is_active(self) -> bool {
        matches!(self, Self::Arming | Self::Armed | Self::Marking)
    }
}

/// The word that decides what an upgrade of an unmarked target gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Gate {
    Open,
    Closing,
    Clearing,
}

impl Gate {
    pub(crate) fn at(index: u64) -> Self {
        [Self::Open, Self::Closing, Self::Clearing][index as usize]
    }
}

/// The order of a store's steps while the mutator logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// Reads the old value, logs, writes: three steps.
    ReadLogWrite,
    /// Reads the old value, writes, logs: three steps.
    ReadWriteLog,
    /// Exchanges, logs: two steps.
    SwapLog,
}

/// When an upgrade is judged by the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WeakGate {
    /// It closes before the wave begins.
    Kept,
    /// It closes somewhere in the wave.
    ClosedInWave,
    /// There is none. Weak references are cleared in the very step that ends the wave, and an
    /// upgrade is one step: all that could be done without a gate.
    Missing,
}

/// The end of marking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// An oracle sees when nothing grey is left anywhere. For searches of the steps before.
    Oracle,
    /// Waves of acknowledgements.
    Waves,
}

/// Which handshakes may be acknowledged while the mutator holds references in registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InClosure {
    pub(crate) h1: bool,
    pub(crate) h2: bool,
    pub(crate) h3: bool,
    pub(crate) h4: bool,
    pub(crate) h5: bool,
}

/// When frames that are below the watermark are scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frames {
    /// The handshake whose acknowledgement sets the watermark to the top.
    pub(crate) from: Phase,
    /// A mutator scans a frame before it pops it.
    pub(crate) before_pop: bool,
    /// The collector has scanned all that are left before it begins a wave.
    pub(crate) before_end: bool,
    /// A mutator that takes a stack over and does not mark yet still scans what the one before,
    /// which did, has left unscanned.
    pub(crate) kept_in_arming: bool,
}

impl Frames {
    pub(crate) const SHIPPED: Self = Self {
        from: Phase::Marking,
        before_pop: true,
        before_end: true,
        kept_in_arming: true,
    };
}

/// Every point at which the protocol could have been made otherwise.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Protocol {
    /// 3: H1, H2, H3. 2: H1, H3. 1: H3 alone.
    pub(crate) handshakes: u8,
    pub(crate) store: Store,
    /// The old value is logged in `Arming` and `Armed`.
    pub(crate) old_until_h3: bool,
    /// The new value is logged in `Arming` and `Armed`, that of a fresh handle as well.
    pub(crate) new_until_h3: bool,
    /// A fresh handle's value is logged there too.
    pub(crate) handles_until_h3: bool,
    /// The old value is logged in `Marking`.
    pub(crate) old_in_marking: bool,
    /// The new value is logged in `Marking` too.
    pub(crate) new_in_marking: bool,
    /// What is marked already is not logged.
    pub(crate) filter: bool,
    /// The mutator's own phase from which fresh objects are marked.
    pub(crate) black_from: Phase,
    pub(crate) in_closure: InClosure,
    /// What a mutator holds is in frames, which it may do when it acknowledges H3; `None`: nothing
    /// is scanned then.
    pub(crate) frames: Option<Frames>,
    /// The step from which handles are taken and objects are scanned.
    pub(crate) mark_from: World,
    /// The step from which dropped handles are logged; `None`: they never are.
    pub(crate) drops_logged_from: Option<World>,
    pub(crate) end: End,
    /// An acknowledgement is dirty if anything was logged since the last, even if it was
    /// flushed.
    pub(crate) sticky: bool,
    /// Whatever is flushed early in a wave spoils it.
    pub(crate) counter: bool,
    /// The counter is read before the queues are seen empty, not after.
    pub(crate) counter_first: bool,
    /// Entries that are marked already do not make an acknowledgement dirty.
    pub(crate) ignore_marked: bool,
    /// Objects are marked and scanned while a wave is under way.
    pub(crate) mark_in_wave: bool,
    pub(crate) gate: WeakGate,
    /// An upgrade that finds the gate closing opens it.
    pub(crate) closing_aborts: bool,
    /// An upgrade reads the gate before the mark, not after.
    pub(crate) gate_before_mark: bool,
    /// Weak references are cleared before H5 is published.
    pub(crate) clear_before_h5: bool,
    /// A mutator that leaves hands its log over.
    pub(crate) leaving_hands_over: bool,
    /// It does so before it is counted, not after. It is registered until both are done.
    pub(crate) push_before_count: bool,
    /// A mutator that registers takes the published phase; otherwise it starts as `Idle`.
    pub(crate) registers_as_published: bool,
}

impl Protocol {
    /// What the runtime does.
    pub(crate) const SHIPPED: Self = Self {
        handshakes: 3,
        store: Store::ReadLogWrite,
        old_until_h3: true,
        new_until_h3: true,
        handles_until_h3: true,
        old_in_marking: true,
        new_in_marking: false,
        filter: true,
        black_from: Phase::Marking,
        in_closure: InClosure {
            h1: true,
            h2: true,
            h3: false,
            h4: true,
            h5: true,
        },
        frames: None,
        mark_from: World::Marking,
        drops_logged_from: Some(World::Arming),
        end: End::Waves,
        sticky: true,
        counter: true,
        counter_first: true,
        ignore_marked: false,
        mark_in_wave: false,
        gate: WeakGate::Kept,
        closing_aborts: true,
        gate_before_mark: true,
        clear_before_h5: true,
        leaving_hands_over: true,
        push_before_count: true,
        registers_as_published: true,
    };

    /// The same with stacks: a checkpoint acknowledges any handshake, with references in frames.
    pub(crate) const STACKS: Self = Self {
        in_closure: InClosure {
            h1: true,
            h2: true,
            h3: true,
            h4: true,
            h5: true,
        },
        frames: Some(Frames::SHIPPED),
        ..Self::SHIPPED
    };

    /// The same, with marking ended by the oracle.
    pub(crate) const ARMING: Self = Self {
        end: End::Oracle,
        ..Self::SHIPPED
    };
}

/// The size of an instance, and what its programs may do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// At most 3.
    pub(crate) objects: u8,
    /// References that a mutator holds at once.
    pub(crate) registers: u32,
    /// It begins where X is scanned, M1 holds Y and Z, Y.f = Z, and M2 has logged Y, cutting it
    /// off from X. (A program comes to that from X.f = Y in a few steps.)
    pub(crate) cut_off: bool,
    /// Where the search begins; every mutator has acknowledged all but this step.
    pub(crate) from: World,
    /// Parts of the root table, each scanned in a step of its own: 1 or 2.
    pub(crate) shards: u8,
    /// Mutators that are registered at first, of two.
    pub(crate) registered: u8,
    /// Mutators come and go.
    pub(crate) registration: bool,
    /// Handles are made and dropped.
    pub(crate) handles: bool,
    /// There is a weak reference, to any object.
    pub(crate) weak: bool,
    /// Logs are flushed at any time.
    pub(crate) early_flush: bool,
    /// Logging is a step of its own, and so is claiming each object to be marked.
    pub(crate) fine: bool,
    /// Objects are allocated.
    pub(crate) allocation: bool,
}
