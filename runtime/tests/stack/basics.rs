//! Frames without a collector: kinds, addresses, growth, limits, memory that goes back.

use runtime::stack::{
    EntryPoint, FRAME_BYTES_MAX, FrameAt, FrameKind, Stack, StackError, StackOptions, Stacks,
};
use std::panic::{AssertUnwindSafe, catch_unwind};

static CALL: FrameKind<u64, u32> = FrameKind::new("call");
static ALIKE: FrameKind<u64, u32> = FrameKind::new("alike");
static TEXT: FrameKind<String> = FrameKind::new("text");
static WIDE: FrameKind<u128, u128> = FrameKind::new("wide");

fn stacks(limit_bytes: usize) -> Stacks {
    let options = StackOptions {
        limit_bytes,
        poison: true,
    };
    Stacks::new(options).unwrap()
}

fn stack(limit_bytes: usize) -> Stack {
    stacks(limit_bytes).stack(&EntryPoint::new("test")).unwrap()
}

/// What a panic said.
fn message(act: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(act)).unwrap_err();
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => payload.downcast_ref::<&str>().unwrap().to_string(),
    }
}

/// Every frame keeps what it holds, and its address, while the stack moves a dozen times.
///
/// Kills: `growth-forgets-the-directory`.
#[test]
fn frames_stay_what_they_are_while_the_stack_grows() {
    let mut stack = stack(1 << 26);
    let mut at: Vec<FrameAt> = Vec::new();
    stack.run(|frames| {
        for number in 0..20_000_u64 {
            let slots = (number % 7) as usize;
            at.push(frames.push(&CALL, number, slots, number as u32).unwrap());
        }
        for (number, &at) in at.iter().enumerate() {
            assert_eq!(*frames.head(&CALL, at), number as u64);
            for slot in 0..number % 7 {
                assert_eq!(frames.get(&CALL, at, slot), number as u32);
                frames.set(&CALL, at, slot, 7);
            }
        }
    });
    assert_eq!(stack.depth(), 20_000);
    assert!(stack.capacity_bytes() >= stack.used_bytes());
    stack.run(|frames| {
        for number in (0..20_000_u64).rev() {
            let (head, slots) = frames.top_mut(&CALL);
            assert_eq!(*head, number);
            assert!(slots.len() as u64 == number % 7 && slots.iter().all(|slot| *slot == 7));
            assert_eq!(frames.pop(&CALL), number);
        }
        assert_eq!((frames.depth(), frames.used_bytes()), (0, 0));
    });
}

#[test]
fn heads_and_slots_are_aligned() {
    let mut stack = stack(1 << 20);
    stack.run(|frames| {
        for number in 0..50 {
            frames.push(&CALL, 1, number, 2).unwrap();
            frames.push(&WIDE, 3, number, 4).unwrap();
            let (head, slots) = frames.top(&WIDE);
            assert_eq!(std::ptr::from_ref(head).addr() % align_of::<u128>(), 0);
            assert_eq!(slots.as_ptr().addr() % align_of::<u128>(), 0);
            assert_eq!((*head, slots.iter().sum::<u128>()), (3, 4 * number as u128));
        }
    });
}

/// Kills: `limit-doubled`.
#[test]
fn a_breach_of_the_limit_is_a_value_that_names_depth_and_kind() {
    let mut stack = stack(1 << 16);
    let (depth, cause) = stack.run(|frames| {
        loop {
            if let Err(refused) = frames.push(&CALL, frames.depth() as u64, 4, 0) {
                assert_eq!(refused.head, frames.depth() as u64);
                break (frames.depth(), refused.cause);
            }
        }
    });
    match &cause {
        StackError::Limit {
            depth: said,
            kind,
            used_bytes,
            limit_bytes,
            asked_bytes,
        } => {
            assert_eq!((*said, *kind, *limit_bytes), (depth, "call", 1 << 16));
            assert!(used_bytes + asked_bytes + 4 > *limit_bytes, "{cause}");
        }
        other => panic!("{other}"),
    }
    assert!(cause.to_string().contains("`call`"), "{cause}");
    assert!(depth > 1000 && stack.capacity_bytes() == 1 << 16);
    stack.run(|frames| {
        assert_eq!(frames.pop(&CALL), depth as u64 - 1);
        frames.push(&CALL, 1, 4, 0).expect("room again");
        let cause = frames.push(&WIDE, 0, FRAME_BYTES_MAX, 0).unwrap_err().cause;
        assert_eq!(cause, StackError::FrameTooLarge { kind: "wide" });
        assert!(frames.push(&CALL, 0, usize::MAX, 0).is_err());
    });
}

/// Kills: `kinds-unchecked`, `serials-unchecked`.
#[test]
fn misuse_panics_and_names_itself() {
    let mut stack = stack(1 << 16);
    stack.run(|frames| {
        let empty = message(|| {
            frames.pop(&CALL);
        });
        assert_eq!(empty, "a frame `call` is asked of an empty stack");
        let at = frames.push(&CALL, 1, 0, 0).unwrap();
        let other = message(|| drop(frames.pop(&TEXT)));
        assert_eq!(other, "a frame `call` is used as a frame `text`");
        let alike = message(|| {
            frames.pop(&ALIKE);
        });
        assert_eq!(alike, "a frame `call` is used as a frame `alike`");
        frames.pop(&CALL);
        frames.push(&CALL, 2, 0, 0).unwrap();
        let gone = message(|| {
            frames.head(&CALL, at);
        });
        assert_eq!(gone, "the frame `call` at depth 0 has been popped");
        let slot = frames.here().unwrap();
        assert!(catch_unwind(AssertUnwindSafe(|| frames.get(&CALL, slot, 0))).is_err());
        let gone = message(|| frames.unwind_to(at));
        assert_eq!(gone, "the frame to unwind to has been popped");
        assert_eq!(frames.pop(&CALL), 2);
    });
}

#[test]
fn an_exception_unwinds_to_a_frame() {
    let mut stack = stack(1 << 20);
    stack.run(|frames| {
        let at = frames.push(&CALL, 5, 0, 0).unwrap();
        for number in 0..100 {
            frames.push(&TEXT, format!("{number}"), 0, ()).unwrap();
        }
        frames.unwind_to(at);
        assert_eq!((frames.here(), frames.pop(&CALL)), (Some(at), 5));
        assert!(!frames.discard());
    });
}

#[test]
fn a_turn_finds_what_the_turn_before_has_left() {
    let mut stack = stack(1 << 20);
    let at = stack.run(|frames| frames.push(&TEXT, "kept".to_owned(), 0, ()).unwrap());
    let moved = std::thread::spawn(move || {
        stack.run(|frames| assert_eq!(frames.head(&TEXT, at), "kept"));
        stack
    });
    let mut stack = moved.join().unwrap();
    stack.run(|frames| assert_eq!(frames.pop(&TEXT), "kept"));
}

/// Kills: `pool-keeps-every-run`.
#[test]
fn memory_goes_back_to_the_page_heap() {
    let stacks = stacks(1 << 26);
    let (small, large) = (EntryPoint::new("small"), EntryPoint::new("large"));
    let mut held: Vec<Stack> = (0..1000).map(|_| stacks.stack(&small).unwrap()).collect();
    assert!(stacks.in_use_bytes() <= 1000 * 1024 + (64 << 10));
    held.push(stacks.stack(&large).unwrap());
    let last = held.last_mut().unwrap();
    last.run(|frames| {
        while frames.used_bytes() < 10 << 20 {
            frames.push(&WIDE, 1, 100, 2).unwrap();
        }
    });
    assert!(stacks.in_use_bytes() >= 16 << 20);
    drop(held);
    // A run of each small size may stay.
    assert!(stacks.in_use_bytes() <= 5 * (32 << 10));
    assert_eq!(small.start_bytes(), 1024);
    assert!(large.start_bytes() > 8192, "{large:?} has learned");
}

/// A frame's data that reads like the head of a smaller frame, at the place where that would begin.
///
/// Kills: `pops-where-no-frame-begins`.
#[test]
fn data_that_looks_like_a_frame_is_none() {
    static WORD: FrameKind<u64> = FrameKind::new("word");
    static WORDS: FrameKind<[usize; 8]> = FrameKind::new("words");
    let mut stack = stack(1 << 20);
    stack.run(|frames| {
        let mut words = [0; 8];
        words[4] = (&raw const WORD).expose_provenance();
        frames.push(&WORDS, words, 0, ()).unwrap();
        let said = message(|| {
            frames.pop(&WORD);
        });
        assert_eq!(said, "a frame `words` is used as a frame `word`");
        assert_eq!(frames.pop(&WORDS), words);
    });
}
