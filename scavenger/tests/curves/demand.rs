//! Demand over ten minutes, as services show it: pure functions of the time, with noise from a
//! fixed seed.

use crate::simulation::{GIB, MIB};

/// Samples a second.
pub(crate) const RATE: usize = 20;

/// Samples in a curve.
const SAMPLES: usize = 600 * RATE;

/// Memory in use over time.
pub(crate) struct Curve {
    pub(crate) name: &'static str,
    /// Bytes in use, a sample each twentieth of a second; multiples of 2 MiB.
    pub(crate) in_use: Vec<usize>,
}

/// A number from 0 to 1 that belongs to `n`.
fn noise(n: usize) -> f64 {
    let mut x = (n as u64).wrapping_add(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

fn curve(name: &'static str, gib_at: impl Fn(f64, usize) -> f64) -> Curve {
    let sample = |n: usize| {
        let bytes = gib_at(n as f64 / RATE as f64, n) * GIB as f64;
        bytes as usize / (2 * MIB) * 2 * MIB
    };
    Curve {
        name,
        in_use: (0..SAMPLES).map(sample).collect(),
    }
}

/// A server under even load: a GiB, give or take a twentieth.
pub(crate) fn steady() -> Curve {
    curve("steady", |_, n| 1.0 + 0.1 * (noise(n) - 0.5))
}

/// Half a GiB, and in each 20 s a burst of one to three seconds to 2 GiB, at any moment.
pub(crate) fn burst() -> Curve {
    curve("burst", |seconds, n| {
        let round = (seconds / 20.0) as usize;
        let begins = 15.0 * noise(round);
        let lasts = 1.0 + 2.0 * noise(round + 1_000_000);
        let inside = (begins..begins + lasts).contains(&(seconds % 20.0));
        let base = 0.5 + 0.02 * noise(n);
        if inside { base + 1.5 } else { base }
    })
}

/// Days of two minutes: from half a GiB at night to two by day, rippled.
pub(crate) fn diurnal() -> Curve {
    curve("diurnal", |seconds, n| {
        let day = (std::f64::consts::TAU * seconds / 120.0).cos();
        1.25 - 0.75 * day + 0.1 * noise(n / RATE)
    })
}

/// A batch half a second long, which fills 2 GiB and drops all but a half: each byte is wanted
/// again soon.
pub(crate) fn sawtooth() -> Curve {
    curve("sawtooth", |seconds, n| {
        let phase = seconds % 0.5 / 0.5;
        0.5 + 1.5 * phase + 0.01 * noise(n)
    })
}

/// The same over half a minute: each byte is wanted again, but not soon.
pub(crate) fn slow_sawtooth() -> Curve {
    curve("slow sawtooth", |seconds, n| {
        let phase = seconds % 30.0 / 30.0;
        0.5 + 1.5 * phase + 0.01 * noise(n)
    })
}
