//! What mutators have overwritten while a collector marks: each mutator's log, and the place where
//! logs are handed over.
//!
//! A log is private to its mutator. It goes to the common place when it is full, at a handshake,
//! and when its mutator leaves. What the collector must know at the end of marking is not whether
//! the logs are empty now but whether anything was logged since it last asked: so a log is *dirty*
//! from its first entry until the mutator's next acknowledgement, even if its entries have gone
//! ahead; and the common place counts what is handed over between acknowledgements, by those who
//! leave as well.
//!
//! While a cycle arms nothing is marked, so nothing tells an entry that was logged already, and a
//! closure may store in the same places for as long as it likes. So a log that is full forgets
//! what it holds twice before it is handed over, and the collector does the same to all that was
//! handed over, while it waits for such a closure to end.

use crate::sync::{AtomicBool, AtomicUsize, Mutex, Ordering, lock};
use gc_mark::{Kind, Object, Roots, Visitor};

/// An object that was overwritten, or is to be kept for another reason.
pub(crate) type Entry = (Object, Kind);

/// Entries after which a log is handed over.
pub(crate) const LOG_ENTRIES: usize = 1024;

/// Chunks from which on it pays to look for what was handed over twice: a mebibyte.
const THIN_CHUNKS_MIN: usize = 64;

/// One mutator's log.
#[derive(Debug, Default)]
pub(crate) struct Log {
    entries: Vec<Entry>,
    dirty: bool,
}

impl Log {
    /// Adds an entry; true if the log has reached `entries_max` and should be handed over.
    pub(crate) fn push(&mut self, entry: Entry, entries_max: usize) -> bool {
        self.entries.push(entry);
        self.dirty = true;
        if self.entries.len() < entries_max {
            return false;
        }
        forget_twins(&mut self.entries);
        self.entries.len() > entries_max / 2
    }

    /// Forgets everything: the marking that it was for is over.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.dirty = false;
    }
}

/// Takes an object's second entry and every further one away.
fn forget_twins(entries: &mut Vec<Entry>) {
    entries.sort_unstable_by_key(|(object, _)| *object);
    entries.dedup_by_key(|(object, _)| *object);
}

/// Where logs are handed over.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    chunks: Mutex<Vec<Vec<Entry>>>,
    /// Chunks that [`Logs::thin_out`] has left; the collector's alone.
    thinned: AtomicUsize,
    /// Chunks handed over outside of handshakes.
    early: AtomicUsize,
    /// A mutator that acknowledged had logged something.
    dirty: AtomicBool,
    /// Something was written that could not be logged.
    given_up: AtomicBool,
}

impl Logs {
    /// Takes a log's entries between handshakes. The log stays dirty.
    pub(crate) fn hand_over_early(&self, log: &mut Log) {
        if !log.entries.is_empty() {
            let mut chunks = lock(&self.chunks);
            chunks.push(std::mem::take(&mut log.entries));
            // Relaxed: counted and compared under the lock.
            self.early.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes a log's entries at a handshake, and whether it was dirty.
    pub(crate) fn hand_over(&self, log: &mut Log) {
        if log.dirty {
            // Relaxed: the acknowledgement that follows publishes it (`World::acknowledge`).
            self.dirty.store(true, Ordering::Relaxed);
        }
        if !log.entries.is_empty() {
            lock(&self.chunks).push(std::mem::take(&mut log.entries));
        }
        log.dirty = false;
    }

    /// What is or was written cannot be logged, because a `trace` panicked: the cycle must free
    /// nothing. No wave is clean from here to [`Self::take_given_up`].
    pub(crate) fn give_up(&self) {
        // Relaxed: the writer's next acknowledgement publishes it.
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// Whether the cycle must free nothing; asked when every mutator has acknowledged something.
    pub(crate) fn take_given_up(&self) -> bool {
        // Relaxed: as above.
        self.given_up.swap(false, Ordering::Relaxed)
    }

    /// Takes entries that belong to no mutator.
    pub(crate) fn add(&self, entries: Vec<Entry>) {
        if !entries.is_empty() {
            lock(&self.chunks).push(entries);
        }
    }

    /// All that was handed over.
    pub(crate) fn take(&self) -> LoggedRoots {
        // Relaxed: the collector's alone.
        self.thinned.store(0, Ordering::Relaxed);
        LoggedRoots(std::mem::take(&mut *lock(&self.chunks)))
    }

    /// Forgets what was handed over twice, if that may be half of it. Asked by the collector, which
    /// so takes part in no wave meanwhile.
    ///
    /// O(n log n) of all that was handed over, and O(log n) an entry.
    pub(crate) fn thin_out(&self) {
        // Relaxed, here and below: this thread's alone.
        let handed_over_min = 2 * self.thinned.load(Ordering::Relaxed) + THIN_CHUNKS_MIN;
        let chunks = {
            let mut chunks = lock(&self.chunks);
            if chunks.len() < handed_over_min {
                return;
            }
            std::mem::take(&mut *chunks)
        };
        let mut entries = chunks.concat();
        drop(chunks);
        forget_twins(&mut entries);
        let thinned = entries.chunks(LOG_ENTRIES).map(<[Entry]>::to_vec);
        // Relaxed: see above.
        self.thinned.store(thinned.len(), Ordering::Relaxed);
        lock(&self.chunks).extend(thinned);
    }

    /// A wave begins: what it must not see change. `None` if something waits to be marked.
    pub(crate) fn begin_wave(&self) -> Option<usize> {
        let chunks = lock(&self.chunks);
        // Relaxed: set before an acknowledgement, which comes after this handshake's publication.
        self.dirty.store(false, Ordering::Relaxed);
        // Relaxed: under the lock.
        chunks
            .is_empty()
            .then(|| self.early.load(Ordering::Relaxed))
    }

    /// Whether the wave that began with `early` visited clean logs only, and nothing was handed
    /// over meanwhile.
    pub(crate) fn was_clean(&self, early: usize) -> bool {
        let chunks = lock(&self.chunks);
        // Relaxed, all: the acknowledgements were acquired; the count is under the lock.
        let dirty = self.dirty.load(Ordering::Relaxed);
        let given_up = self.given_up.load(Ordering::Relaxed);
        chunks.is_empty() && !dirty && !given_up && self.early.load(Ordering::Relaxed) == early
    }
}

/// Logged objects, as roots of a round of marking.
pub(crate) struct LoggedRoots(Vec<Vec<Entry>>);

impl LoggedRoots {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

// SAFETY: a job a chunk, and all entries of each, with the kinds that they were logged with.
unsafe impl Roots for LoggedRoots {
    fn jobs(&self) -> usize {
        self.0.len()
    }

    fn scan<V: Visitor>(&self, job: usize, visitor: &mut V) {
        let chunk = self.0.get(job).map_or(&[][..], Vec::as_slice);
        chunk
            .iter()
            .for_each(|&(object, kind)| visitor.visit(object, kind));
    }
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests {
    use super::*;

    fn entry(n: usize) -> Entry {
        let (id, noscan) = (0, false);
        (Object(n), Kind { id, noscan })
    }

    /// Logs `places` objects in turn, `times` each, and lets the collector look now and then; the
    /// most entries that there were at once, and the objects logged.
    fn logged(places: usize, times: usize) -> (usize, Vec<usize>) {
        let (logs, mut log) = (Logs::default(), Log::default());
        let handed_over = || lock(&logs.chunks).iter().map(Vec::len).sum::<usize>();
        let mut most = 0;
        for n in 0..places * times {
            if log.push(entry(n % places), LOG_ENTRIES) {
                logs.hand_over_early(&mut log);
                most = most.max(handed_over());
                if n % 3 == 0 {
                    logs.thin_out();
                }
            }
        }
        logs.hand_over(&mut log);
        let mut objects: Vec<_> = logs.take().0.concat().iter().map(|e| e.0.0).collect();
        objects.sort_unstable();
        objects.dedup();
        (most, objects)
    }

    /// Kills: `full-log-keeps-twins`.
    #[test]
    fn few_places_fill_no_log() {
        let (most, objects) = logged(500, 1000);
        assert_eq!((most, objects), (0, (0..500).collect()));
    }

    /// Kills: `thinning-keeps-twins`, `thinning-forgets`.
    #[test]
    fn what_is_handed_over_stays_within_a_few_times_what_differs() {
        let (most, objects) = logged(20_000, 20);
        assert!(most < 150_000, "{most} entries for 20,000 objects");
        assert!(objects.into_iter().eq(0..20_000));
    }

    #[test]
    fn who_gives_up_spoils_the_wave() {
        let logs = Logs::default();
        let early = logs.begin_wave().unwrap();
        assert!(logs.was_clean(early));
        logs.give_up();
        assert!(!logs.was_clean(early));
        assert!(logs.take_given_up() && !logs.take_given_up());
        assert!(logs.was_clean(early));
    }
}
