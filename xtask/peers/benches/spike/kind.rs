//! A kind of run, and what its runs have found.

use crate::child::Failure;
use crate::explicit;
use peers::report::median;
use std::collections::BTreeMap;
use std::process::Stdio;

/// A kind of run, and the figures of its runs by name.
pub(crate) struct Kind {
    pub(crate) how: &'static str,
    pub(crate) load: &'static str,
    pub(crate) figures: BTreeMap<String, Vec<f64>>,
}

impl Kind {
    pub(crate) fn name(&self) -> String {
        format!("{}, {}", self.how, self.load)
    }

    /// Runs once, in a process of its own.
    pub(crate) fn run(&mut self) -> Result<(), Failure> {
        let Some(mut command) = explicit::command(self.how, self.load)? else {
            return Ok(());
        };
        command.env_remove("HEAPWRIGHT_TRACE");
        let output = command.stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            return Err(format!("{} ended with {}", self.name(), output.status).into());
        }
        let text = String::from_utf8(output.stdout)?;
        println!("{}: {}", self.name(), text.trim().replace('\n', ", "));
        for line in text.lines() {
            let (name, figure) = line.split_once(' ').ok_or("a line without a figure")?;
            let figures = self.figures.entry(name.to_owned()).or_default();
            figures.push(figure.parse()?);
        }
        Ok(())
    }

    /// The median of a figure, divided by `unit`; a dash if a run did not have it.
    pub(crate) fn cell(&self, name: &str, unit: f64) -> String {
        let figures = self.figures.get(name).cloned().unwrap_or_default();
        median(figures).map_or("–".to_owned(), |figure| format!("{:.2}", figure / unit))
    }

    /// The median of the runs' own ratios.
    pub(crate) fn ratio(&self, name: &str, beside: &str) -> String {
        let of = |name| self.figures.get(name).into_iter().flatten();
        let ratios = of(name).zip(of(beside)).map(|(a, b)| a / b);
        median(ratios.collect()).map_or("–".to_owned(), |ratio| format!("{ratio:.2}"))
    }
}
