//! Marking that mutators do: nobody is at a round that has ended.

use super::model;
use crate::crew::take_seat;
use crate::raw::assist::Assist;
use crate::sync::AtomicUsize;
use loom::cell::UnsafeCell;
use loom::thread;
use std::sync::Arc;

/// A cell of which the protocol sees to it that accesses do not overlap; loom looks.
struct Guarded(UnsafeCell<u32>);

// SAFETY: loom reports every pair of accesses that is not ordered.
unsafe impl Sync for Guarded {}

impl Guarded {
    fn new(value: u32) -> Self {
        Self(UnsafeCell::new(value))
    }

    fn set(&self, value: u32) {
        // SAFETY: exclusive, or loom ends the run.
        self.0.with_mut(|place| unsafe { *place = value });
    }

    fn get(&self) -> u32 {
        // SAFETY: nobody writes meanwhile, or loom ends the run.
        self.0.with(|place| unsafe { *place })
    }
}

/// Two rounds, of which a helper may come to either, to both or to none: it sees what was there
/// before its round was offered, and is out before the round ends.
///
/// Kills: `assist-offered-unordered`, `assist-taken-unordered`, `assist-left-unordered`,
/// `assist-ended-unordered`, `assist-ends-with-helpers-in`, `assist-comes-in-uninvited`,
/// `assist-stays-open`.
#[test]
fn lend_and_help() {
    model("lend_and_help", || {
        let assist = Arc::new(Assist::default());
        let round = Arc::new(Guarded::new(0));
        let helper = thread::spawn({
            let assist = assist.clone();
            move || (assist.help(1), assist.help(2))
        });
        for number in 1..3 {
            round.set(number);
            let work = |objects| objects + 10 * round.get() as usize;
            assist.lend(&work, || assert_eq!(round.get(), number));
            round.set(0);
        }
        let (first, second) = helper.join().unwrap();
        assert!(matches!(first, None | Some(11 | 21)), "{first:?}");
        assert!(matches!(second, None | Some(12 | 22)), "{second:?}");
        assert!(assist.help(3).is_none(), "nothing is on offer");
    });
}

/// Two helpers, each of which sits down once or twice: nobody shares a seat, and who takes one sees
/// the queues as they were left there.
///
/// Kills: `seat-shared`, `seat-taken-unordered`, `seat-left-unordered`.
#[test]
fn seats() {
    model("seats", || {
        let seats = Arc::new(AtomicUsize::new(0));
        let queues = Arc::new([0; 2].map(Guarded::new));
        let sit = |seats: &AtomicUsize, queues: &[Guarded; 2]| {
            take_seat(seats, |seat| queues[seat].set(queues[seat].get() + 1));
        };
        let other = thread::spawn({
            let (seats, queues) = (seats.clone(), queues.clone());
            move || sit(&seats, &queues)
        });
        sit(&seats, &queues);
        sit(&seats, &queues);
        other.join().unwrap();
        take_seat(&seats, |seat| assert_eq!(seat, 0, "all have left"));
        assert_eq!(queues[0].get() + queues[1].get(), 3);
    });
}
