//! The crate alone under an owner that is no garbage collector of Rust objects: a small machine
//! with cons cells and byte strings, which marks by hand from its registers and sweeps a span when
//! an allocation comes by it. About what the author of a virtual machine would write.
#![cfg(not(heapwright_loom))]

use alloc_core::{
    Exhausted, Heap, Mmap, Ops, PAGE_BYTES, Refill, SizeClass, ThreadCache, TypeInfo,
};
use std::cell::Cell;
use std::ptr::NonNull;

static CONS: TypeInfo = TypeInfo {
    name: || "cons",
    size: 24,
    align: 8,
    noscan: false,
    needs_drop: false,
    ops: Ops::NONE,
};

static BYTES: TypeInfo = TypeInfo {
    name: || "bytes",
    size: 0,
    align: 1,
    noscan: true,
    needs_drop: false,
    ops: Ops::NONE,
};

/// A number, and two references or null.
#[repr(C)]
struct Cons {
    number: usize,
    next: Option<NonNull<Cons>>,
    bytes: Option<NonNull<u8>>,
}

/// The sweep generation, and what was asked of the owner. Of one thread, hence cells.
struct Sweeping<'h> {
    heap: &'h Heap<Mmap>,
    generation: Cell<u32>,
    swept_on_demand: Cell<usize>,
    charged_bytes: Cell<usize>,
}

// SAFETY: `ready` sweeps, or says no; the generation moves in `collect`, which does not allocate.
unsafe impl Refill for Sweeping<'_> {
    fn generation(&self) -> u32 {
        self.generation.get()
    }

    fn ready(&self, span: u32) -> bool {
        let was_swept = self.heap.generation(span) == self.generation.get();
        self.swept_on_demand
            .set(self.swept_on_demand.get() + usize::from(!was_swept));
        was_swept || self.sweep(span, true)
    }

    fn charge(&self, bytes: usize) {
        self.charged_bytes.set(self.charged_bytes.get() + bytes);
    }
}

impl Sweeping<'_> {
    /// Sweeps a span unless that is done; true if it was this call that did it.
    fn sweep(&self, span: u32, keep_empty: bool) -> bool {
        let swept = self.generation.get();
        if !self.heap.exchange_generation(span, swept - 2, swept - 1) {
            return false;
        }
        // SAFETY: claimed; marking is over, the cache was flushed, nothing needs drop.
        let outcome = unsafe { self.heap.sweep(span) };
        if outcome.empty != 0 && !keep_empty {
            self.heap.publish_generation(span, 0);
            // SAFETY: claimed, empty, and retired by the line above.
            unsafe { self.heap.burials().add(span) };
        } else {
            self.heap.publish_generation(span, swept);
        }
        true
    }
}

struct Machine<'h> {
    heap: &'h Heap<Mmap>,
    cache: ThreadCache,
    sweeping: Sweeping<'h>,
    registers: Vec<Option<NonNull<Cons>>>,
}

impl<'h> Machine<'h> {
    fn new(heap: &'h Heap<Mmap>, registers: usize) -> Self {
        Self {
            heap,
            cache: ThreadCache::new(),
            sweeping: Sweeping {
                heap,
                generation: Cell::new(2),
                swept_on_demand: Cell::new(0),
                charged_bytes: Cell::new(0),
            },
            registers: vec![None; registers],
        }
    }

    fn raw(&mut self, info: &'static TypeInfo, size: usize) -> Result<NonNull<u8>, Exhausted> {
        match SizeClass::of(size, info.align) {
            Some(class) => self.cache.alloc(self.heap, &self.sweeping, info, class),
            None => self.heap.alloc_large(&self.sweeping, info, size, false),
        }
    }

    /// Pushes a cell in front of a register's list, with `size` bytes that hold its number.
    fn push(&mut self, register: usize, number: usize, size: usize) -> Result<(), Exhausted> {
        let bytes = self.raw(&BYTES, size)?;
        // SAFETY: `size` bytes that are ours.
        unsafe { bytes.write_bytes(number as u8, size) };
        let cons = self.raw(&CONS, size_of::<Cons>())?.cast();
        let value = Cons {
            number,
            next: self.registers[register],
            bytes: (size > 0).then_some(bytes),
        };
        // SAFETY: a slot of that size and alignment.
        unsafe { cons.write(value) };
        self.registers[register] = Some(cons);
        Ok(())
    }

    /// The numbers of a register's list, each checked against its bytes.
    fn list(&self, register: usize) -> Vec<usize> {
        let mut numbers = Vec::new();
        let mut next = self.registers[register];
        while let Some(cons) = next {
            // SAFETY: reachable, so neither freed nor written.
            let cons = unsafe { cons.as_ref() };
            if let Some(bytes) = cons.bytes {
                // SAFETY: as above; one byte at least.
                assert_eq!(unsafe { bytes.read() }, cons.number as u8);
            }
            numbers.push(cons.number);
            next = cons.next;
        }
        numbers
    }

    fn mark(&self, address: NonNull<u8>) -> bool {
        let granule = self.heap.granule_of(address.as_ptr().addr());
        // SAFETY: an object of the heap; nobody else marks.
        unsafe { self.heap.marks().claim_alone(granule) }
    }

    /// Marks what the registers reach, and makes every span unswept: how many objects live.
    fn collect(&mut self) -> usize {
        let unused_bytes = self.cache.flush(self.heap);
        self.sweeping
            .charged_bytes
            .set(self.sweeping.charged_bytes.get() - unused_bytes);
        self.sweep_rest();
        let mut live = 0;
        for register in self.registers.clone() {
            let mut next = register;
            while let Some(cons) = next {
                if !self.mark(cons.cast()) {
                    break;
                }
                // SAFETY: reachable.
                let cons = unsafe { cons.as_ref() };
                live += 1 + usize::from(cons.bytes.is_some_and(|bytes| self.mark(bytes)));
                next = cons.next;
            }
        }
        self.heap.rewind();
        self.sweeping
            .generation
            .set(self.sweeping.generation.get() + 2);
        live
    }

    /// Sweeps what no allocation came by.
    fn sweep_rest(&self) {
        let mut from = 0;
        while let Some(span) = self.heap.next_span(from, self.heap.spans_end()) {
            self.sweeping.sweep(span, false);
            from = span + 1;
        }
    }

    fn objects(&self) -> usize {
        self.heap.census().iter().map(|row| row.objects).sum()
    }
}

fn heap() -> Heap<Mmap> {
    Heap::new(Mmap::new(), 256 << 20, 16 << 20).expect("16 MiB of addresses")
}

#[test]
fn lists_survive_and_their_dead_make_room() {
    let heap = heap();
    let mut machine = Machine::new(&heap, 4);
    let mut expected = vec![Vec::new(); 4];
    let mut grown_bytes = 0;
    for cycle in 0..20 {
        for number in 0..8000 {
            let register = number % 4;
            machine
                .push(register, number, [1, 7, 40, 300][cycle % 4])
                .unwrap();
            expected[register].insert(0, number);
        }
        for (register, expected) in expected.iter().enumerate() {
            assert_eq!(machine.list(register), *expected, "cycle {cycle}");
        }
        // Two lists go; of one only the tail is kept; and a ring is left to itself.
        machine.registers[0] = None;
        expected[0].clear();
        // SAFETY: the list's first cell, which nobody else uses.
        let next = unsafe { machine.registers[1].unwrap().as_ref() }.next;
        machine.registers[1] = next;
        expected[1].remove(0);
        let mut ring = machine.registers[2].take().unwrap();
        // SAFETY: as above.
        unsafe { ring.as_mut() }.next = Some(ring);
        expected[2].clear();
        if cycle % 3 == 0 {
            machine.registers[3] = None;
            expected[3].clear();
            machine.registers[1] = None;
            expected[1].clear();
        }
        let live = machine.collect();
        assert_eq!(live, 2 * expected.iter().map(Vec::len).sum::<usize>());
        if cycle % 2 == 0 {
            machine.sweep_rest();
            assert_eq!(machine.objects(), live, "what is not marked is free");
            heap.check_invariants();
        }
        match cycle {
            7 => grown_bytes = heap.pages().stats().grown_bytes,
            8.. => assert!(
                heap.pages().stats().grown_bytes <= 2 * grown_bytes,
                "dead room is lost"
            ),
            _ => {}
        }
    }
    assert!(
        machine.sweeping.swept_on_demand.get() > 100,
        "no span was swept on demand"
    );
}

#[test]
fn large_objects_come_and_go() {
    let heap = heap();
    let mut machine = Machine::new(&heap, 1);
    for size in [32 << 10, (32 << 10) + 1, 100_000, 5 << 20] {
        machine.push(0, size, size).unwrap();
    }
    assert_eq!(machine.collect(), 8);
    machine.sweep_rest();
    let large = heap
        .census()
        .into_iter()
        .filter(|row| row.slot_bytes > 32 << 10);
    assert_eq!(large.map(|row| row.objects).sum::<usize>(), 3);
    let first = machine.registers[0].unwrap();
    // SAFETY: reachable.
    let bytes = unsafe { first.as_ref() }.bytes.unwrap();
    // SAFETY: nobody allocates; an address in the midst of five mebibytes.
    let found = unsafe { heap.object_containing(bytes.as_ptr().addr() + (4 << 20)) }.unwrap();
    assert_eq!((found.start, found.slot_bytes), (bytes, 5 << 20));
    machine.registers[0] = None;
    assert_eq!(machine.collect(), 0);
    machine.sweep_rest();
    assert_eq!(
        heap.next_span(0, heap.spans_end()),
        None,
        "every span is freed"
    );
    assert_eq!(machine.objects(), 0);
    heap.check_invariants();
}

#[test]
fn what_is_charged_and_not_used_comes_back() {
    let heap = heap();
    let mut machine = Machine::new(&heap, 1);
    machine.push(0, 1, 1).unwrap();
    let charged_bytes = machine.sweeping.charged_bytes.get();
    assert!(
        charged_bytes > PAGE_BYTES,
        "two spans' slots are charged when they are taken"
    );
    machine.collect();
    // A cell in a slot of 32 bytes, its byte in one of 16.
    assert_eq!(machine.sweeping.charged_bytes.get(), 48);
}
