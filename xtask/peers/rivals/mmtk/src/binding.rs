//! What MMTk must be told: what an object is, where roots are, how threads stop.

use crate::local::{HEADER, Local};
use crate::params::{Params, fail};
use crate::world;
use mmtk::scheduler::GCWorker;
use mmtk::util::alloc::AllocationError;
use mmtk::util::copy::{CopySemantics, GCWorkerCopyContext};
use mmtk::util::{Address, ObjectReference, OpaquePointer};
use mmtk::util::{VMMutatorThread, VMThread, VMWorkerThread};
use mmtk::vm::slot::{SimpleSlot, UnimplementedMemorySlice};
use mmtk::vm::*;
use mmtk::{MMTK, MMTKBuilder, Mutator, memory_manager};
use std::sync::OnceLock;

static MMTK_OF_PROCESS: OnceLock<&'static MMTK<Vm>> = OnceLock::new();

/// The binding.
#[derive(Default)]
pub(crate) struct Vm;

impl VMBinding for Vm {
    type VMObjectModel = Self;
    type VMScanning = Self;
    type VMCollection = Self;
    type VMActivePlan = Self;
    type VMReferenceGlue = Self;
    type VMSlot = SimpleSlot;
    type VMMemorySlice = UnimplementedMemorySlice<SimpleSlot>;

    const MIN_ALIGNMENT: usize = 8;
    const USE_ALLOCATION_OFFSET: bool = false;
}

/// The instance that [`start`] made.
pub(crate) fn mmtk() -> &'static MMTK<Vm> {
    MMTK_OF_PROCESS
        .get()
        .copied()
        .unwrap_or_else(|| fail("MMTk was not started"))
}

/// Whether the plan needs to know of references that are written.
pub(crate) fn has_barrier() -> bool {
    mmtk().get_plan().constraints().barrier != mmtk::BarrierSelector::NoBarrier
}

/// What holds where the parameters do not say otherwise.
pub(crate) struct Settings {
    /// The heap's fixed size; 0 for what MMTk's balancer chooses.
    pub(crate) heap_mib: u64,
    /// How much of the heap Immix may move objects to; MMTk's own choice is 2.
    pub(crate) headroom_percent: u64,
    /// The collector's threads.
    pub(crate) workers: u64,
}

/// Starts MMTk.
pub(crate) fn start(params: &Params, settings: Settings) {
    let mut builder = MMTKBuilder::new_no_env_vars();
    let mut set = |name: &str, value: &str| {
        if !builder.set_option(name, value) {
            fail(&format!("MMTk does not take {name}={value}"));
        }
    };
    set("plan", params.word("plan", "Immix"));
    let workers = params.number("workers", settings.workers);
    set("threads", &workers.to_string());
    let headroom_percent = params.number("headroom", settings.headroom_percent);
    set(
        "immix_defrag_headroom_percent",
        &headroom_percent.to_string(),
    );
    let trigger = match params.number("heap", settings.heap_mib) {
        0 => format!("DynamicHeapSize:{},{}", 32 << 20, 8_u64 << 30),
        mib => format!("FixedHeapSize:{}", mib << 20),
    };
    set("gc_trigger", &trigger);
    let mmtk: &'static MMTK<Vm> = Box::leak(memory_manager::mmtk_init(&builder));
    if MMTK_OF_PROCESS.set(mmtk).is_err() {
        fail("MMTk was started before");
    }
    memory_manager::initialize_collection(mmtk, VMThread::UNINITIALIZED);
}

/// An object's header: bytes above eight bits for the number of references.
fn header(object: ObjectReference) -> usize {
    // SAFETY: MMTk names objects only, and each begins with its header.
    unsafe { object.to_raw_address().load() }
}

impl ObjectModel<Vm> for Vm {
    const GLOBAL_LOG_BIT_SPEC: VMGlobalLogBitSpec = VMGlobalLogBitSpec::side_first();
    /// Over the header: a moved object's is in its copy.
    const LOCAL_FORWARDING_POINTER_SPEC: VMLocalForwardingPointerSpec =
        VMLocalForwardingPointerSpec::in_header(0);
    const LOCAL_FORWARDING_BITS_SPEC: VMLocalForwardingBitsSpec =
        VMLocalForwardingBitsSpec::side_first();
    const LOCAL_MARK_BIT_SPEC: VMLocalMarkBitSpec =
        VMLocalMarkBitSpec::side_after(Self::LOCAL_FORWARDING_BITS_SPEC.as_spec());
    const LOCAL_LOS_MARK_NURSERY_SPEC: VMLocalLOSMarkNurserySpec =
        VMLocalLOSMarkNurserySpec::side_after(Self::LOCAL_MARK_BIT_SPEC.as_spec());
    const UNIFIED_OBJECT_REFERENCE_ADDRESS: bool = true;
    const OBJECT_REF_OFFSET_LOWER_BOUND: isize = 0;

    fn copy(
        from: ObjectReference,
        semantics: CopySemantics,
        context: &mut GCWorkerCopyContext<Self>,
    ) -> ObjectReference {
        let bytes = Self::get_current_size(from);
        let to = context.alloc_copy(from, bytes, 8, 0, semantics);
        let source = from.to_raw_address().to_ptr::<u8>();
        // SAFETY: both are of that size, and the copy is new.
        unsafe { std::ptr::copy_nonoverlapping(source, to.to_mut_ptr(), bytes) };
        // SAFETY: MMTk gave the address of an object.
        let copy = unsafe { ObjectReference::from_raw_address_unchecked(to) };
        context.post_copy(copy, bytes, semantics);
        copy
    }

    fn copy_to(_: ObjectReference, _: ObjectReference, _: Address) -> Address {
        unreachable!("no plan of ours compacts")
    }

    fn get_reference_when_copied_to(_: ObjectReference, _: Address) -> ObjectReference {
        unreachable!("no plan of ours compacts")
    }

    fn get_current_size(object: ObjectReference) -> usize {
        header(object) >> 8
    }

    fn get_size_when_copied(object: ObjectReference) -> usize {
        Self::get_current_size(object)
    }

    fn get_align_when_copied(_: ObjectReference) -> usize {
        8
    }

    fn get_align_offset_when_copied(_: ObjectReference) -> usize {
        0
    }

    fn get_type_descriptor(_: ObjectReference) -> &'static [i8] {
        unreachable!("there are no types")
    }

    fn ref_to_object_start(object: ObjectReference) -> Address {
        object.to_raw_address()
    }

    fn ref_to_header(object: ObjectReference) -> Address {
        object.to_raw_address()
    }

    fn dump_object(object: ObjectReference) {
        eprintln!("{object}: header {:#x}", header(object));
    }
}

impl Scanning<Vm> for Vm {
    fn scan_object<SV: SlotVisitor<SimpleSlot>>(
        _: VMWorkerThread,
        object: ObjectReference,
        visitor: &mut SV,
    ) {
        for at in 0..header(object) & 0xff {
            let slot = object.to_raw_address() + HEADER + at * 8;
            visitor.visit_slot(SimpleSlot::from_address(slot));
        }
    }

    fn notify_initial_thread_scan_complete(_: bool, _: VMWorkerThread) {}

    fn scan_roots_in_mutator_thread(
        _: VMWorkerThread,
        _: &'static mut Mutator<Self>,
        _: impl RootsWorkFactory<SimpleSlot>,
    ) {
        // All are found below.
    }

    fn scan_vm_specific_roots(_: VMWorkerThread, mut factory: impl RootsWorkFactory<SimpleSlot>) {
        const PACKET: usize = 4096;
        let state = world::state();
        let stacks = state.locals.iter().map(|local| {
            // SAFETY: an attached thread's, which waits.
            unsafe { &*(*local as *const Local) }.roots()
        });
        for (start, len) in stacks.chain(state.tables.iter().copied()) {
            // SAFETY: it is only an address.
            let start = unsafe { Address::from_usize(start) };
            for begin in (0..len).step_by(PACKET) {
                let slots = begin..len.min(begin + PACKET);
                let slot = |at| SimpleSlot::from_address(start + at * 8);
                factory.create_process_roots_work(slots.map(slot).collect());
            }
        }
    }

    fn supports_return_barrier() -> bool {
        false
    }

    fn prepare_for_roots_re_scanning() {}
}

impl Collection<Vm> for Vm {
    fn stop_all_mutators<F>(_: VMWorkerThread, mut visit: F)
    where
        F: FnMut(&'static mut Mutator<Self>),
    {
        world::stop();
        Self::mutators().for_each(&mut visit);
    }

    fn resume_mutators(_: VMWorkerThread) {
        world::resume();
    }

    fn block_for_gc(_: VMMutatorThread) {
        world::wait_for_collection();
    }

    fn spawn_gc_thread(_: VMThread, context: GCThreadContext<Self>) {
        let GCThreadContext::Worker(worker) = context;
        let thread = std::thread::Builder::new().name(WORKER.to_owned());
        if let Err(error) = thread.spawn(move || run_worker(worker)) {
            crate::params::fail(&format!("a thread was not created: {error}"));
        }
    }

    fn out_of_memory(_: VMThread, kind: AllocationError) {
        eprintln!("memory is exhausted: {kind:?}");
        std::process::exit(1);
    }
}

/// The name of the collector's threads.
pub(crate) const WORKER: &str = "mmtk-worker";

fn run_worker(worker: Box<GCWorker<Vm>>) {
    // An address that is no other thread's.
    let own = Box::leak(Box::new(0_u64));
    let tls = VMThread(OpaquePointer::from_address(Address::from_mut_ptr(own)));
    memory_manager::start_worker(mmtk(), VMWorkerThread(tls), worker);
}

impl ActivePlan<Vm> for Vm {
    fn is_mutator(tls: VMThread) -> bool {
        let address = tls.0.to_address().as_usize();
        world::state().locals.contains(&address)
    }

    fn mutator(tls: VMMutatorThread) -> &'static mut Mutator<Self> {
        // SAFETY: MMTk has the address from `Local::tls`, and asks for attached threads only.
        let local = unsafe { &*tls.0.0.to_address().to_ptr::<Local>() };
        // SAFETY: it is alive while its thread is attached.
        unsafe { &mut *local.mutator() }
    }

    fn mutators<'a>() -> Box<dyn Iterator<Item = &'a mut Mutator<Self>> + 'a> {
        let locals = world::state().locals.clone();
        Box::new(locals.into_iter().map(|local| {
            // SAFETY: an attached thread's, which waits.
            let local = unsafe { &*(local as *const Local) };
            // SAFETY: as in `mutator`.
            unsafe { &mut *local.mutator() }
        }))
    }

    fn number_of_mutators() -> usize {
        world::state().locals.len()
    }
}

impl ReferenceGlue<Vm> for Vm {
    type FinalizableType = ObjectReference;

    fn clear_referent(_: ObjectReference) {
        unreachable!("there are no weak references")
    }

    fn get_referent(_: ObjectReference) -> Option<ObjectReference> {
        unreachable!("there are no weak references")
    }

    fn set_referent(_: ObjectReference, _: ObjectReference) {
        unreachable!("there are no weak references")
    }

    fn enqueue_references(_: &[ObjectReference], _: VMWorkerThread) {}
}
