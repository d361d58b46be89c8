//! The ways in which the stress is run: each debug mode alone, all together, and what else a heap
//! can be set to.

use runtime::Debug;
use std::time::Duration;

/// How a round's heap is set up.
pub(crate) struct Mode {
    pub(crate) name: &'static str,
    pub(crate) debug: Debug,
    pub(crate) markers: usize,
    /// `None`: cycles are asked for, and do not begin by themselves.
    pub(crate) percent: Option<u32>,
    pub(crate) symmetric: bool,
}

const QUIET: Debug = Debug {
    check_marks: false,
    poison: false,
    log_entries: None,
    delay_logs: false,
    handshake_delay: Duration::ZERO,
    collect_at_polls: false,
    extra_waves: 0,
};

const PLAIN: Mode = Mode {
    name: "plain",
    debug: QUIET,
    markers: 1,
    percent: Some(1),
    symmetric: false,
};

const fn with(name: &'static str, debug: Debug) -> Mode {
    Mode {
        name,
        debug,
        ..PLAIN
    }
}

/// All of them.
pub(crate) const MODES: &[Mode] = &[
    PLAIN,
    with(
        "check",
        Debug {
            check_marks: true,
            ..QUIET
        },
    ),
    with(
        "poison",
        Debug {
            poison: true,
            ..QUIET
        },
    ),
    with(
        "tiny-logs",
        Debug {
            log_entries: Some(1),
            ..QUIET
        },
    ),
    with(
        "late-logs",
        Debug {
            delay_logs: true,
            ..QUIET
        },
    ),
    with(
        "slow",
        Debug {
            handshake_delay: Duration::from_millis(2),
            ..QUIET
        },
    ),
    with(
        "polls",
        Debug {
            collect_at_polls: true,
            ..QUIET
        },
    ),
    with(
        "waves",
        Debug {
            extra_waves: 3,
            ..QUIET
        },
    ),
    Mode {
        name: "symmetric",
        symmetric: true,
        ..PLAIN
    },
    Mode {
        name: "half",
        percent: Some(50),
        ..PLAIN
    },
    Mode {
        name: "asked",
        percent: None,
        ..PLAIN
    },
    Mode {
        name: "two",
        markers: 2,
        percent: Some(3),
        debug: Debug {
            check_marks: true,
            ..QUIET
        },
        ..PLAIN
    },
    with(
        "all",
        Debug {
            check_marks: true,
            poison: true,
            log_entries: Some(2),
            delay_logs: false,
            handshake_delay: Duration::from_micros(200),
            collect_at_polls: true,
            extra_waves: 1,
        },
    ),
    Mode {
        name: "all-two",
        debug: Debug {
            check_marks: true,
            poison: true,
            log_entries: None,
            delay_logs: true,
            handshake_delay: Duration::from_micros(100),
            collect_at_polls: true,
            extra_waves: 0,
        },
        markers: 2,
        percent: Some(1),
        symmetric: true,
    },
];

pub(crate) fn by_name(name: &str) -> &'static Mode {
    let mode = MODES.iter().find(|mode| mode.name == name);
    mode.unwrap_or_else(|| panic!("no mode has the name {name}"))
}
