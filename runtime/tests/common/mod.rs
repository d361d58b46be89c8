//! What several tests need: values that report their drop, and a generator of numbers.

#![allow(dead_code, reason = "each test uses a part")]

use runtime::{Builder, Collector, Debug, Runtime, Trace};
use std::any::Any;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

/// How often each token was dropped.
#[derive(Clone, Default)]
pub(crate) struct Drops(Arc<Mutex<HashMap<u64, usize>>>);

impl Drops {
    /// A value that reports its drop under `id`.
    pub(crate) fn token(&self, id: u64) -> Token {
        self.table().insert(id, 0);
        Token {
            id,
            drops: self.clone(),
        }
    }

    fn table(&self) -> std::sync::MutexGuard<'_, HashMap<u64, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often the token was dropped.
    pub(crate) fn of(&self, id: u64) -> usize {
        self.table()[&id]
    }

    /// Tokens handed out, and drops of all.
    pub(crate) fn totals(&self) -> (usize, usize) {
        let table = self.table();
        (table.len(), table.values().sum())
    }

    /// The tokens that were dropped, in order.
    pub(crate) fn dropped(&self) -> Vec<u64> {
        let table = self.table();
        let dropped = table.iter().filter(|(_, times)| **times > 0);
        let mut ids: Vec<u64> = dropped.map(|(id, _)| *id).collect();
        ids.sort_unstable();
        ids
    }

    /// Takes out the tokens that were dropped; each must have been dropped once.
    pub(crate) fn take_dropped(&self) -> BTreeSet<u64> {
        let mut taken = BTreeSet::new();
        self.table().retain(|id, times| {
            assert!(*times <= 1, "token {id} was dropped {times} times");
            let dropped = *times == 1;
            if dropped {
                taken.insert(*id);
            }
            !dropped
        });
        taken
    }

    /// Forgets those of these tokens that were made: they never got into the heap, and each was
    /// dropped once.
    pub(crate) fn forget(&self, ids: Range<u64>) {
        let mut table = self.table();
        for id in ids {
            let times = table.remove(&id);
            assert!(
                times.is_none_or(|times| times == 1),
                "token {id}: {times:?}"
            );
        }
    }

    /// Panics unless each token was dropped exactly once.
    pub(crate) fn assert_each_once(&self) {
        for (id, times) in &*self.table() {
            assert_eq!(*times, 1, "drops of token {id}");
        }
    }
}

/// A value that reports its drop; not to be cloned.
#[derive(Trace)]
#[trace(noscan)]
pub(crate) struct Token {
    pub(crate) id: u64,
    drops: Drops,
}

impl Token {
    /// Another token that reports to the same place.
    pub(crate) fn renamed(&self, id: u64) -> Token {
        self.drops.token(id)
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        let mut table = self.drops.table();
        let Some(times) = table.get_mut(&self.id) else {
            panic!("a token that nobody made: {}", self.id);
        };
        *times += 1;
    }
}

/// What a panic said.
pub(crate) fn message(payload: Box<dyn Any + Send>) -> String {
    match payload.downcast::<String>() {
        Ok(text) => *text,
        Err(payload) => payload
            .downcast::<&str>()
            .map_or_else(|_| "no text".to_owned(), |text| (*text).to_owned()),
    }
}

/// Runs `act`, which must panic, and says with what message.
pub(crate) fn panic_of<R>(act: impl FnOnce() -> R) -> String {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)) {
        Ok(_) => panic!("nothing panicked"),
        Err(payload) => message(payload),
    }
}

/// How long to wait for what takes a small part of so many seconds on an idle machine: twenty times
/// as long if `HEAPWRIGHT_SLOW` is set, as where each access is watched by a sanitizer.
pub(crate) fn patience(seconds: u64) -> Duration {
    let is_slow = std::env::var_os("HEAPWRIGHT_SLOW").is_some();
    Duration::from_secs(if is_slow { 20 * seconds } else { seconds })
}

/// Runs `act` on a thread of its own; panics if it is not done in a minute's [`patience`], which
/// says that it waits for itself.
pub(crate) fn in_time(act: impl FnOnce() + Send + 'static) {
    let (sender, receiver) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        act();
        sender.send(()).unwrap();
    });
    match receiver.recv_timeout(patience(60)) {
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("it waits for itself"),
        _ => thread.join().unwrap(),
    }
}

/// Where a program's choices come from: a generator of numbers (xorshift64*, good enough to choose
/// programs with), or a byte string, which a fuzzer mutates.
#[derive(Clone)]
pub(crate) enum Random {
    Seed(u64),
    /// What is left of the string.
    Bytes(VecDeque<u8>),
}

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self::Seed(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    /// The choices that these bytes spell; zeroes when they are over.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.iter().copied().collect())
    }

    pub(crate) fn next(&mut self) -> u64 {
        match self {
            Self::Seed(state) => {
                *state ^= *state >> 12;
                *state ^= *state << 25;
                *state ^= *state >> 27;
                state.wrapping_mul(0x2545_F491_4F6C_DD1D)
            }
            Self::Bytes(bytes) => (0..8).fold(0, |number, _| {
                number << 8 | u64::from(bytes.pop_front().unwrap_or(0))
            }),
        }
    }

    /// A number below `end`; of a byte string it takes one byte for up to 256, two for more.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        match self {
            Self::Seed(_) => (self.next() >> 33) as usize % end,
            Self::Bytes(bytes) => {
                let mut byte = || usize::from(bytes.pop_front().unwrap_or(0));
                let number = if end <= 0x100 {
                    byte()
                } else {
                    byte() << 8 | byte()
                };
                number % end
            }
        }
    }

    /// Whether the bytes are used up; a generator's numbers never are.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self, Self::Bytes(bytes) if bytes.is_empty())
    }
}

/// The seed of this run: `HEAPWRIGHT_SEED`, or another each time; printed, so that it can be
/// replayed.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("HEAPWRIGHT_SEED").ok();
    let seed = match given.and_then(|text| text.parse().ok()) {
        Some(seed) => seed,
        None => std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(1, |since| since.as_nanos() as u64 % 1_000_000),
    };
    eprintln!("HEAPWRIGHT_SEED={seed}");
    seed
}

/// A heap that collects when it is told to, compares marks with a second mark, and poisons what it
/// frees.
pub(crate) fn strict_heap<C: Collector + Default>() -> Runtime<C> {
    let debug = Debug {
        check_marks: true,
        poison: true,
        ..Debug::default()
    };
    let builder = Builder::new(C::default()).gc_off().debug(debug);
    builder.build().unwrap()
}
