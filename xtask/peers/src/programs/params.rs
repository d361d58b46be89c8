//! What a run is told: the workload's name, then `key=value`, in any order.

use super::Failure;
use std::collections::BTreeMap;
use std::str::FromStr;

/// A message.
const MESSAGE_BYTES: u64 = 1024;

/// A run's parameters, each a text until it is asked for.
#[derive(Clone, Debug, Default)]
pub struct Params {
    /// The workload.
    pub workload: String,
    values: BTreeMap<String, String>,
}

impl Params {
    /// From a program's arguments, its own name left out.
    ///
    /// # Errors
    ///
    /// If there is no workload, or an argument is not `key=value`.
    pub fn parse(args: impl IntoIterator<Item = String>) -> Result<Self, Failure> {
        let mut args = args.into_iter();
        let workload = args.next().ok_or("a workload must be named first")?;
        let mut values = BTreeMap::new();
        for arg in args {
            let (key, value) = arg
                .split_once('=')
                .ok_or_else(|| format!("`{arg}` is not key=value"))?;
            values.insert(key.to_owned(), value.to_owned());
        }
        Ok(Self { workload, values })
    }

    /// The text of `key`, or `default`.
    pub fn text<'a>(&'a self, key: &str, default: &'a str) -> &'a str {
        self.values.get(key).map_or(default, String::as_str)
    }

    /// The number of `key`, or `default`.
    ///
    /// # Errors
    ///
    /// If it is something else.
    pub fn number<T: FromStr>(&self, key: &str, default: T) -> Result<T, Failure> {
        match self.values.get(key) {
            None => Ok(default),
            Some(text) => text
                .parse()
                .map_err(|_| format!("{key}={text} is not a number of its kind").into()),
        }
    }

    /// How many messages of 1 KiB are so many MiB; `default_mib` if `key` is not set.
    ///
    /// # Errors
    ///
    /// As [`Self::number`].
    pub fn messages_in_mib(&self, key: &str, default_mib: u64) -> Result<usize, Failure> {
        let mib: u64 = self.number(key, default_mib)?;
        Ok(usize::try_from((mib << 20) / MESSAGE_BYTES)?)
    }

    /// Threads, at least one.
    ///
    /// # Errors
    ///
    /// As [`Self::number`].
    pub fn threads(&self) -> Result<usize, Failure> {
        Ok(self.number("threads", 1_usize)?.max(1))
    }

    /// The random numbers of thread `thread`.
    ///
    /// # Errors
    ///
    /// As [`Self::number`].
    pub fn random(&self, thread: usize) -> Result<SplitMix, Failure> {
        let seed: u64 = self.number("seed", 1)?;
        Ok(SplitMix(seed.wrapping_add(thread as u64)))
    }
}

/// Random numbers: splitmix64 (Steele, Lea and Flood 2014), four lines in every language.
#[derive(Clone, Debug)]
pub struct SplitMix(u64);

impl SplitMix {
    /// The next number.
    #[inline]
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    #[inline]
    pub fn below(&mut self, end: usize) -> usize {
        ((u128::from(self.draw()) * end as u128) >> 64) as usize
    }

    /// The numbers below `end` in random order (Fisher and Yates).
    pub fn permutation(&mut self, end: usize) -> Vec<u32> {
        let mut order: Vec<u32> = (0..end as u32).collect();
        for place in (1..end).rev() {
            order.swap(place, self.below(place + 1));
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(text: &str) -> Params {
        Params::parse(text.split(' ').map(str::to_owned)).unwrap()
    }

    #[test]
    fn values_are_found_and_defaults_stand_in() {
        let params = params("ring live=3 rate=7");
        assert_eq!(params.workload, "ring");
        assert_eq!(params.number("live", 9).unwrap(), 3);
        assert_eq!(params.number("count", 9).unwrap(), 9);
        assert!(params.number("rate", 1_u8).is_ok());
        assert!(Params::parse(["a".to_owned(), "b".to_owned()]).is_err());
    }

    #[test]
    fn random_numbers_are_those_of_the_published_algorithm() {
        // The first of seed 0, from the reference implementation.
        assert_eq!(SplitMix(0).draw(), 0xE220_A839_7B1D_CDAF);
    }
}
