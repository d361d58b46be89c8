//! The arguments by their keys, and the random numbers.

use std::collections::HashMap;

/// The arguments; each use names its default.
pub(crate) struct Params(HashMap<String, String>);

/// Ends the program with 2: it was called wrongly.
pub(crate) fn fail(why: &str) -> ! {
    eprintln!("{why}");
    std::process::exit(2)
}

impl Params {
    pub(crate) fn parse(args: impl Iterator<Item = String>) -> Self {
        let pair = |arg: String| match arg.split_once('=') {
            Some((key, value)) => (key.to_owned(), value.to_owned()),
            None => fail(&format!("not key=value: {arg}")),
        };
        Self(args.map(pair).collect())
    }

    pub(crate) fn number(&self, key: &str, otherwise: u64) -> u64 {
        let parse = |text: &String| text.parse().ok();
        match self.0.get(key) {
            None => otherwise,
            Some(text) => parse(text).unwrap_or_else(|| fail(&format!("no number: {key}={text}"))),
        }
    }

    pub(crate) fn word<'a>(&'a self, key: &str, otherwise: &'a str) -> &'a str {
        self.0.get(key).map_or(otherwise, String::as_str)
    }
}

/// Splitmix64.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number less than `n`.
    pub(crate) fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.draw()) * n as u128) >> 64) as usize
    }
}
