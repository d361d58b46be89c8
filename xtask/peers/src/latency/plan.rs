//! What one run has to do, as its arguments say it.

use std::time::Duration;

/// Messages that are alive at once, all threads together: 200 MiB of 1 KiB each.
pub const SLOTS: usize = 200 << 10;

/// Messages at full speed, all threads together.
const FULL_MESSAGES: usize = 6_000_000;
/// The fixed rate: one message each 5 µs, 200,000 a second, on each thread.
const PACED_INTERVAL: Duration = Duration::from_micros(5);
/// Messages at the fixed rate, each thread: four seconds of them.
const PACED_MESSAGES: usize = 800_000;

/// One run's parameters; all numbers are of one thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Threads, each with a ring of its own.
    pub threads: usize,
    /// Places in a ring.
    pub slots: usize,
    /// Messages that replace others before anything is measured.
    pub warm_up: usize,
    /// Messages that are measured.
    pub messages: usize,
    /// Between the times at which messages are due; nothing, if each is due when the one before
    /// is done.
    pub interval: Option<Duration>,
}

impl Plan {
    /// The plans of the bench.
    pub fn all() -> Vec<Self> {
        let of = |threads: usize, paced: bool| Self {
            threads,
            slots: SLOTS / threads,
            warm_up: SLOTS / threads,
            messages: if paced {
                PACED_MESSAGES
            } else {
                FULL_MESSAGES / threads
            },
            interval: paced.then_some(PACED_INTERVAL),
        };
        vec![of(1, false), of(1, true), of(2, false), of(2, true)]
    }

    /// What the rows of this plan are called.
    pub fn title(&self) -> String {
        let threads = if self.threads == 1 {
            "1 thread".to_owned()
        } else {
            format!("{} threads", self.threads)
        };
        let pace = match self.interval {
            None => "full speed".to_owned(),
            Some(interval) => {
                let rate = 1_000_000_000 / interval.as_nanos().max(1);
                format!("{rate}/s a thread")
            }
        };
        format!("{threads}, {pace}")
    }

    /// The plan as arguments: what the flags of every language can read.
    pub fn args(&self) -> Vec<String> {
        let interval_ns = self.interval.map_or(0, |interval| interval.as_nanos());
        [
            ("threads", self.threads.to_string()),
            ("slots", self.slots.to_string()),
            ("warm-up", self.warm_up.to_string()),
            ("messages", self.messages.to_string()),
            ("interval-ns", interval_ns.to_string()),
        ]
        .map(|(name, value)| format!("--{name}={value}"))
        .to_vec()
    }

    /// The plan in these arguments; `None` unless each is there once and is a number.
    pub fn from_args(args: &[String]) -> Option<Self> {
        let number = |name: &str| -> Option<u64> {
            let prefix = format!("--{name}=");
            let mut values = args.iter().filter_map(|arg| arg.strip_prefix(&prefix));
            let value = values.next()?.parse().ok()?;
            values.next().is_none().then_some(value)
        };
        let interval_ns = number("interval-ns")?;
        Some(Self {
            threads: number("threads")? as usize,
            slots: number("slots")? as usize,
            warm_up: number("warm-up")? as usize,
            messages: number("messages")? as usize,
            interval: (interval_ns > 0).then_some(Duration::from_nanos(interval_ns)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_survive_their_arguments() {
        for plan in Plan::all() {
            assert_eq!(Plan::from_args(&plan.args()), Some(plan));
        }
    }

    #[test]
    fn half_a_plan_is_none() {
        let args = Plan::all()[0].args();
        assert_eq!(Plan::from_args(&args[1..]), None);
        let twice: Vec<String> = args.iter().chain(&args[..1]).cloned().collect();
        assert_eq!(Plan::from_args(&twice), None);
    }

    #[test]
    fn titles_differ() {
        let titles: std::collections::BTreeSet<String> =
            Plan::all().iter().map(Plan::title).collect();
        assert_eq!(titles.len(), Plan::all().len());
    }
}
