//! A worker: its own queues, and the loop that chooses what to do next.
//!
//! The order is: root jobs, until they are all taken; the newest packet of the own deque (still
//! warm, and depth first keeps the queues short); the largest of the own open packets (fewer than
//! 256 objects, so the misses overlap less: last choice among what is at hand); a packet stolen
//! from another's deque, its oldest. Then rest.
//!
//! Workers at rest make the busy ones generous: these move open packets of some size to the deque
//! before they take one themselves, and cut a packet in two that is their only one. Nobody looks
//! at the clock, and nobody but the worker itself touches its open packets.

use std::any::Any;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::marker::Outcome;
use crate::near::Near;
use crate::open::Open;
use crate::packet::{Space, Work};
use crate::port::{ObjectModel, Roots};
use crate::sync::{AtomicUsize, Deque, Mutex, Ordering, PoisonError, Steal, Stealer, wait};
use crate::termination::{Rest, Termination, Word};
use crate::trace::{Kind, Object};
use crate::tracer::{Alone, Shared, Sharing, Tracer};

/// Objects for which it pays to move a packet, or half of one, to a worker at rest.
const SHARE_MIN: usize = if cfg!(heapwright_loom) { 1 } else { 16 };
/// Objects after which a worker tells how many it has scanned. A line that all write is the first
/// that many markers wait for: told once a packet, beside the word that says who is busy, the count
/// halved the gain of 50 markers, simulated (`docs/scale.md`).
const TELL_OBJECTS: usize = 1024;

/// What belongs to one worker; touched by nobody else while it runs.
pub(crate) struct Local {
    index: usize,
    deque: Deque<Work>,
    pub(crate) open: Open,
    pub(crate) counts: Outcome,
    /// How many of the scanned objects the others know of.
    told: usize,
}

/// What the workers of a round share.
pub(crate) struct Common {
    pub(crate) termination: Termination,
    /// The next root job to hand out; those from `jobs` on do not exist.
    pub(crate) jobs_taken: AtomicUsize,
    /// Objects scanned so far in this round by workers that ran together, as far as told.
    objects_done: OwnLine<AtomicUsize>,
    stealers: Box<[Stealer<Work>]>,
    /// The payload of the first panic.
    payload: Mutex<Option<Box<dyn Any + Send>>>,
}

/// What has a cache line to itself, and the one that is fetched with it.
#[repr(align(128))]
struct OwnLine<T>(T);

impl Local {
    pub(crate) fn new(index: usize) -> Local {
        let deque = Deque::new_lifo();
        Local {
            index,
            deque,
            open: Open::new(),
            counts: Outcome::default(),
            told: 0,
        }
    }

    pub(crate) fn index(&self) -> usize {
        self.index
    }

    pub(crate) fn push(&mut self, object: Object, kind: Kind) {
        self.open.push(object, kind, &self.deque);
    }

    /// Takes the open packet of a kind out: its id, room and length.
    pub(crate) fn lend(&mut self, kind: Kind) -> Option<(usize, Space, usize)> {
        self.open.lend(kind, &self.deque)
    }

    /// Puts back what was lent.
    #[inline(never)]
    pub(crate) fn put_back(&mut self, parts: (usize, Space, usize)) {
        self.open.put_back(parts, &self.deque);
    }

    /// Queues what is in the packet at hand.
    pub(crate) fn renew(&mut self, near: &mut Near, kind: Kind) {
        let (space, len) = near.renew(self.open.space());
        self.deque.push(Work::Packet { kind, len, space });
    }

    pub(crate) fn queue(&mut self, work: Work) {
        self.deque.push(work);
    }

    /// Prepares for a round: what an earlier one left goes where the other workers see it, since
    /// this one may never be run.
    pub(crate) fn begin(&mut self) {
        self.counts = Outcome::default();
        self.told = 0;
        self.open.flush(1, &self.deque);
    }

    /// Whether nothing is queued here.
    pub(crate) fn is_empty(&self) -> bool {
        self.deque.is_empty() && self.open.is_empty()
    }

    /// Forgets all that is queued.
    pub(crate) fn clear(&mut self) {
        while self.deque.pop().is_some() {}
        self.open.clear();
    }

    /// The next work at hand. `generous`: leave something for workers at rest.
    fn next(&mut self, generous: bool) -> Option<Work> {
        if generous && self.deque.len() < 2 {
            self.open.flush(SHARE_MIN, &self.deque);
        }
        let work = self.deque.pop().or_else(|| self.open.take_largest())?;
        if generous && self.deque.is_empty() {
            return Some(self.halve(work));
        }
        Some(work)
    }

    /// Leaves half of a packet in the deque, if it is worth it.
    fn halve(&mut self, work: Work) -> Work {
        match work {
            Work::Packet { len, .. } if len / 2 >= SHARE_MIN => self.cut(work, len / 2),
            work => work,
        }
    }

    /// Leaves what is more than `keep` objects of an item in the deque, but for parts.
    fn cut(&mut self, work: Work, keep: usize) -> Work {
        match work {
            Work::Packet { kind, len, space } if len > keep => {
                let mut other = self.open.space();
                other[..len - keep].copy_from_slice(&space[keep..len]);
                self.deque.push(Work::Packet {
                    kind,
                    len: len - keep,
                    space: other,
                });
                Work::Packet {
                    kind,
                    len: keep,
                    space,
                }
            }
            Work::Mixed(mut objects) if objects.len() > keep => {
                let rest = objects.split_off(keep);
                self.deque.push(Work::Mixed(rest));
                Work::Mixed(objects)
            }
            work => work,
        }
    }
}

impl Common {
    pub(crate) fn new(locals: &[Local]) -> Common {
        Common {
            termination: Termination::new(),
            jobs_taken: AtomicUsize::new(0),
            objects_done: OwnLine(AtomicUsize::new(0)),
            stealers: locals.iter().map(|local| local.deque.stealer()).collect(),
            payload: Mutex::new(None),
        }
    }

    /// Begins a new round.
    pub(crate) fn reset(&mut self) {
        self.termination.reset();
        self.jobs_taken = AtomicUsize::new(0);
        self.objects_done = OwnLine(AtomicUsize::new(0));
        self.take_payload();
    }

    /// Objects that workers have told of.
    pub(crate) fn objects_done(&self) -> usize {
        // Relaxed: a count.
        self.objects_done.0.load(Ordering::Relaxed)
    }

    /// Tells how many objects a worker has scanned, if the others do not know of so many.
    fn tell(&self, local: &mut Local, untold_min: usize) {
        let untold = local.counts.objects - local.told;
        if untold >= untold_min {
            local.told = local.counts.objects;
            // Relaxed: a count.
            self.objects_done.0.fetch_add(untold, Ordering::Relaxed);
        }
    }

    /// The payload of the first panic of the round.
    pub(crate) fn take_payload(&self) -> Option<Box<dyn Any + Send>> {
        self.payload
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// The deques of the workers other than `index`, beginning with its neighbor's.
    fn others(&self, index: usize) -> impl Iterator<Item = &Stealer<Work>> {
        let workers = self.stealers.len();
        (1..workers).map(move |distance| &self.stealers[(index + distance) % workers])
    }

    fn others_empty(&self, index: usize) -> bool {
        self.others(index).all(Stealer::is_empty)
    }

    /// Steals one item.
    fn steal(&self, local: &mut Local) -> Option<Work> {
        for victim in self.others(local.index) {
            loop {
                match victim.steal() {
                    Steal::Success(work) => {
                        local.counts.steals += 1;
                        return Some(work);
                    }
                    Steal::Empty => break,
                    Steal::Retry => continue,
                }
            }
        }
        None
    }

    /// A worker found nothing anywhere.
    fn rest(&self, word: Word, local: &Local, stay: bool) -> Rest {
        self.termination
            .rest(word, stay, || self.others_empty(local.index))
    }

    /// A worker rests until there may be work again, or (false) the round is over.
    fn wait_for_work(&self, local: &Local) -> bool {
        let mut waits = 0;
        loop {
            let word = self.termination.look();
            if word.is_over() {
                return false;
            }
            if word.busy() == 0 || !self.others_empty(local.index) {
                return self.termination.wake(word);
            }
            wait(waits);
            waits = waits.saturating_add(1);
        }
    }

    /// Calls into a port: false, and the round aborted, if that panics.
    fn guard(&self, call: impl FnOnce()) -> bool {
        let Err(payload) = catch_unwind(AssertUnwindSafe(call)) else {
            return true;
        };
        let mut first = self.payload.lock().unwrap_or_else(PoisonError::into_inner);
        let late = match *first {
            None => first.replace(payload),
            Some(_) => Some(payload),
        };
        drop(first);
        self.termination.abort();
        // A payload is the user's: its drop may panic too, and has nowhere to go.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(late)));
        false
    }

    /// The next root job.
    fn job(&self, jobs: &Range<usize>) -> Option<usize> {
        if jobs.is_empty() {
            return None;
        }
        // Relaxed: only hands out numbers; what a job's roots lead to is published by queues.
        let job = self.jobs_taken.fetch_add(1, Ordering::Relaxed);
        jobs.contains(&job).then_some(job)
    }

    /// Scans root jobs until none is left: false if the round was aborted.
    fn scan_roots<M, R, S>(&self, local: &mut Local, task: &Task<'_, M, R>) -> bool
    where
        M: ObjectModel,
        R: Roots + ?Sized,
        S: Sharing,
    {
        while let Some(job) = self.job(&(0..task.jobs)) {
            let mut tracer = Tracer::<M, S>::new(task.model, local, usize::MAX);
            if !self.guard(|| {
                task.roots.scan(job, &mut tracer);
                tracer.leave();
            }) {
                return false;
            }
            if self.termination.look().is_aborted() {
                return false;
            }
        }
        true
    }
}

/// What a round is about.
pub(crate) struct Task<'r, M, R: ?Sized> {
    pub(crate) model: &'r M,
    pub(crate) roots: &'r R,
    pub(crate) jobs: usize,
}

/// Marks on this thread alone, until all is done or so many objects are scanned.
pub(crate) fn run_alone<M, R>(
    common: &Common,
    local: &mut Local,
    task: &Task<'_, M, R>,
    objects_max: usize,
) where
    M: ObjectModel,
    R: Roots + ?Sized,
{
    let goal = local.counts.objects.saturating_add(objects_max);
    if !common.scan_roots::<M, R, Alone>(local, task) {
        return;
    }
    while local.counts.objects < goal {
        let Some(work) = local.next(false).or_else(|| common.steal(local)) else {
            return;
        };
        let left = goal - local.counts.objects;
        let work = local.cut(work, left);
        if !common.guard(|| Tracer::<M, Alone>::new(task.model, local, left).run(work)) {
            return;
        }
    }
}

/// Marks with others: true when the round is over. With a budget it is false when so many objects
/// are scanned here, or there is nothing to do just now.
pub(crate) fn run_shared<M, R>(
    common: &Common,
    local: &mut Local,
    task: &Task<'_, M, R>,
    budget: Option<usize>,
) -> bool
where
    M: ObjectModel,
    R: Roots + ?Sized,
{
    let goal = budget.map(|objects_max| local.counts.objects.saturating_add(objects_max));
    if !common.termination.enter() || !common.scan_roots::<M, R, Shared>(local, task) {
        return true;
    }
    loop {
        let word = common.termination.look();
        if word.is_aborted() {
            return true;
        }
        if goal.is_some_and(|goal| local.counts.objects >= goal) {
            local.open.flush(1, &local.deque);
            common.tell(local, 1);
            common.termination.quit(word);
            return false;
        }
        let work = local
            .next(word.anyone_resting())
            .or_else(|| common.steal(local));
        let Some(work) = work else {
            common.tell(local, 1);
            match common.rest(word, local, goal.is_none()) {
                Rest::Over => return true,
                Rest::WorkLeft => continue,
                Rest::Left if goal.is_some() => return false,
                Rest::Left if common.wait_for_work(local) => continue,
                Rest::Left => return true,
            }
        };
        let left = goal.map_or(usize::MAX, |goal| goal - local.counts.objects);
        let work = local.cut(work, left);
        if !common.guard(|| Tracer::<M, Shared>::new(task.model, local, left).run(work)) {
            return true;
        }
        common.tell(local, TELL_OBJECTS);
    }
}

#[cfg(all(test, not(heapwright_loom)))]
mod tests;
