//! Weakens each memory ordering by one step, one place at a time, and asks which models notice.
//!
//! An ordering that no model misses is either not needed or not modelled: the code cannot tell, so
//! each such place needs a reason in `xtask/orderings.toml`. A reason for a place that a model
//! does notice is stale, and an error too. Fences are dropped whole.
//!
//! | from | to |
//! |---|---|
//! | `SeqCst` of a load, a store, the rest | `Acquire`, `Release`, `AcqRel` |
//! | `AcqRel` | `Acquire`, and `Release` |
//! | `Acquire`, `Release` | `Relaxed` |
//! | `fence(…)`, `compiler_fence(…)` | nothing |
//!
//! Each is planted as a mutant and examined by all models of its crate.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::loom;
use crate::mutants::{self, Kind, Mutant, Verdict};
use crate::tidy::tokens::{Token, closing, functions, tokens};
use crate::tidy::tree::Tree;
use crate::workspace::{LIBRARIES, Workspace};

/// Where the reasons stand.
const REASONS: &str = "xtask/orderings.toml";

/// What to run.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Crates whose orderings to weaken; all by default
    crates: Vec<String>,
    /// List the places and run nothing
    #[arg(long)]
    list: bool,
    /// Write the table to docs/orderings.md; needs a run of all
    #[arg(long, conflicts_with_all = ["list", "crates"])]
    write: bool,
    /// Seconds after which a crate's models count as hanging
    #[arg(long, default_value_t = 1200)]
    timeout: u64,
}

/// One ordering, weakened by one step.
struct Site {
    /// Relative to the root.
    file: String,
    /// The function it is in.
    function: String,
    /// The operation it orders: `load`, `compare_exchange`, `fence`.
    operation: String,
    from: String,
    /// What it becomes; nothing for a fence that is dropped.
    to: String,
    /// Which of those that are alike in all this, from 1.
    count: usize,
    /// The bytes that are replaced, and what replaces them.
    bytes: Range<usize>,
    text: &'static str,
}

/// Why no model notices a weakened ordering.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reason {
    /// The place, as [`Site::name`] says it.
    place: String,
    why: String,
}

/// The file of reasons.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reasons {
    #[serde(default)]
    reason: Vec<Reason>,
}

/// Weakens each ordering; fails unless each is noticed or has its reason, and not both.
pub(crate) fn run(workspace: &Workspace, options: &Options) -> Result<String> {
    for name in &options.crates {
        ensure!(
            LIBRARIES.contains(&name.as_str()),
            "{name} is none of our library crates"
        );
    }
    let tree = Tree::read(workspace)?;
    let sites: Vec<Site> = sites(&tree)
        .into_iter()
        .filter(|site| options.crates.is_empty() || options.crates.contains(&site.package()))
        .collect();
    if options.list {
        sites.iter().for_each(|site| println!("{}", site.name()));
        return Ok(format!("{} places", sites.len()));
    }
    let path = workspace.root.join(REASONS);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {REASONS}"))?;
    let reasons: Reasons = toml::from_str(&text).with_context(|| format!("in {REASONS}"))?;
    let reasons: BTreeMap<_, _> = reasons
        .reason
        .into_iter()
        .map(|r| (r.place, r.why))
        .collect();

    let noticed = noticed(
        workspace,
        &tree,
        &sites,
        Duration::from_secs(options.timeout),
    )?;
    let page = page(&sites, &noticed, &reasons);
    println!("\n{page}");
    if options.write {
        fs::write(workspace.root.join("docs/orderings.md"), &page)?;
    }
    judge(&sites, &noticed, &reasons)?;
    let count = noticed.iter().filter(|noticed| **noticed).count();
    Ok(format!(
        "{count} of {} weakened orderings are noticed, the rest explained",
        sites.len()
    ))
}

/// Fails where an ordering is neither noticed nor explained, or both.
fn judge(sites: &[Site], noticed: &[bool], reasons: &BTreeMap<String, String>) -> Result<()> {
    let mut wrong = Vec::new();
    for (site, noticed) in sites.iter().zip(noticed) {
        match (noticed, reasons.contains_key(&site.name())) {
            (false, false) => wrong.push(format!("no model notices {}", site.name())),
            (true, true) => wrong.push(format!("explained, and noticed: {}", site.name())),
            _ => {}
        }
    }
    ensure!(
        wrong.is_empty(),
        "{}\n({REASONS} takes reasons)",
        wrong.join("\n")
    );
    Ok(())
}

/// Which sites some model of their crate notices.
fn noticed(
    workspace: &Workspace,
    tree: &Tree,
    sites: &[Site],
    timeout: Duration,
) -> Result<Vec<bool>> {
    let mut mutants = Vec::new();
    for (index, site) in sites.iter().enumerate() {
        let text = &tree.file(&site.file).context("a file of the tree")?.text;
        for (test, filter) in loom::exams(workspace, &site.package()) {
            mutants.push(site.mutant(index, text, test, filter));
        }
    }
    mutants.sort_by_key(Mutant::exam);
    let mut noticed = vec![false; sites.len()];
    for line in mutants::try_all(workspace, &mutants, timeout)? {
        let index: usize = line.mutant.name.parse().context("a site's number")?;
        match line.verdict {
            Verdict::Killed(_) => noticed[index] = true,
            Verdict::Survived => {}
            fault => anyhow::bail!("{}: {fault}", sites[index].name()),
        }
    }
    Ok(noticed)
}

impl Site {
    fn package(&self) -> String {
        self.file.split('/').next().unwrap_or_default().to_owned()
    }

    /// The place, in words that stay when lines are added elsewhere.
    fn name(&self) -> String {
        let to = if self.to.is_empty() {
            "nothing"
        } else {
            &self.to
        };
        let Self {
            file,
            function,
            operation,
            from,
            count,
            ..
        } = self;
        let which = if *count > 1 {
            format!(" #{count}")
        } else {
            String::new()
        };
        format!("{file} {function}: {operation}{which}, {from} to {to}")
    }

    /// The mutant that weakens this ordering in `text`, to be examined by one target's models.
    fn mutant(&self, index: usize, text: &str, test: &str, filter: &str) -> Mutant {
        // As much of the text around as makes it the only such.
        let (mut start, mut end) = (self.bytes.start, self.bytes.end);
        while text.matches(&text[start..end]).count() > 1 {
            start = text[..start].rfind('\n').unwrap_or(0);
            end += text[end..].find('\n').map_or(0, |length| length + 1);
        }
        let before = &text[start..self.bytes.start];
        let after = &text[self.bytes.end..end];
        Mutant {
            name: index.to_string(),
            file: self.file.clone(),
            find: text[start..end].to_owned(),
            replace: format!("{before}{}{after}", self.text),
            kind: Kind::Loom,
            package: self.package(),
            test: test.to_owned(),
            filter: filter.to_owned(),
            breaks: self.name(),
            alone: false,
        }
    }
}

/// Every ordering in library code that is not the weakest.
fn sites(tree: &Tree) -> Vec<Site> {
    let mut sites: Vec<Site> = Vec::new();
    for (file, rust) in tree.library() {
        let tokens = tokens(&rust.layers.code);
        let functions = functions(&tokens);
        for (index, token) in tokens.iter().enumerate().skip(2) {
            let is_ordering =
                tokens[index - 1].text == "::" && tokens[index - 2].text == "Ordering";
            if !is_ordering || rust.is_test(token.line) {
                continue;
            }
            let Some(call) = call_around(&tokens, index) else {
                continue;
            };
            let operation = tokens[call].text;
            let around = functions.iter().rfind(|f| f.body.contains(&token.at));
            let own = token.at..token.at + token.text.len();
            for (to, bytes, text) in weaker(&tokens, call, token.text, own) {
                let mut site = Site {
                    file: file.path.clone(),
                    function: around.map_or("", |f| &f.name).to_owned(),
                    operation: operation.to_owned(),
                    from: token.text.to_owned(),
                    to: to.to_owned(),
                    count: 1,
                    bytes,
                    text,
                };
                while sites.iter().any(|other| other.name() == site.name()) {
                    site.count += 1;
                }
                sites.push(site);
            }
        }
    }
    sites
}

/// The token that names the operation whose arguments hold the token at `index`.
fn call_around(tokens: &[Token<'_>], index: usize) -> Option<usize> {
    let open = (0..index)
        .rev()
        .find(|&at| tokens[at].text == "(" && closing(tokens, at) > index)?;
    open.checked_sub(1).filter(|&name| tokens[name].is_name())
}

/// What an ordering becomes one step weaker: its name, the bytes to replace, and by what.
fn weaker(
    tokens: &[Token<'_>],
    call: usize,
    from: &str,
    own: Range<usize>,
) -> Vec<(&'static str, Range<usize>, &'static str)> {
    let operation = tokens[call].text;
    if matches!(operation, "fence" | "compiler_fence") {
        let end = &tokens[closing(tokens, call + 1)];
        return vec![("", tokens[call].at..end.at + 1, "()")];
    }
    let to: &[&'static str] = match (from, operation) {
        ("SeqCst", "load" | "load_visible") => &["Acquire"],
        ("SeqCst", "store") => &["Release"],
        ("SeqCst", _) => &["AcqRel"],
        ("AcqRel", _) => &["Acquire", "Release"],
        ("Acquire" | "Release", _) => &["Relaxed"],
        _ => &[],
    };
    to.iter().map(|&to| (to, own.clone(), to)).collect()
}

/// The page of the documentation.
fn page(sites: &[Site], noticed: &[bool], reasons: &BTreeMap<String, String>) -> String {
    let count = noticed.iter().filter(|noticed| **noticed).count();
    let mut text = format!(
        "# Orderings\n\n\
         Every memory ordering of the libraries, weakened by one step and one at a time, and \
         every\nfence dropped: {count} of {} are noticed by a loom model of their crate. Written \
         by\n`cargo xtask orderings --write`; the reasons are in `{REASONS}`.\n\n\
         | place | operation | from | to | noticed | why not |\n|---|---|---|---|---|---|\n",
        sites.len()
    );
    for (site, noticed) in sites.iter().zip(noticed) {
        let why = reasons.get(&site.name()).map_or("", String::as_str);
        let to = if site.to.is_empty() {
            "nothing"
        } else {
            &site.to
        };
        text += &format!(
            "| `{}` `{}` | {} | {} | {to} | {} | {why} |\n",
            site.file,
            site.function,
            site.operation,
            site.from,
            if *noticed { "yes" } else { "**no**" },
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "fn a(x: &A) {\n    x.store(f(1), Ordering::Release);\n    \
        x.store(f(2), Ordering::Release);\n    fence(Ordering::SeqCst);\n}\n\
        fn b(x: &A) {\n    x.compare_exchange(1, 2, Ordering::AcqRel, Ordering::Relaxed);\n    \
        x.load(Ordering::SeqCst);\n}\n#[cfg(test)]\nmod t { fn c() { y.load(Ordering::Acquire) } }\n";

    fn found() -> (Tree, Vec<Site>) {
        let tree = Tree::of(&[("runtime/src/a.rs", TEXT)]);
        let sites = sites(&tree);
        (tree, sites)
    }

    #[test]
    fn each_ordering_is_a_site_once_a_step() {
        let names: Vec<_> = found().1.iter().map(Site::name).collect();
        assert_eq!(
            names,
            [
                "runtime/src/a.rs a: store, Release to Relaxed",
                "runtime/src/a.rs a: store #2, Release to Relaxed",
                "runtime/src/a.rs a: fence, SeqCst to nothing",
                "runtime/src/a.rs b: compare_exchange, AcqRel to Acquire",
                "runtime/src/a.rs b: compare_exchange, AcqRel to Release",
                "runtime/src/a.rs b: load, SeqCst to Acquire",
            ]
        );
    }

    #[test]
    fn a_mutant_changes_its_own_place_alone() {
        let (_, sites) = found();
        for (site, has) in sites.iter().zip([
            "x.store(f(1), Ordering::Relaxed);",
            "x.store(f(2), Ordering::Relaxed);",
            "    ();\n",
            "Ordering::Acquire, Ordering::Relaxed",
            "Ordering::Release, Ordering::Relaxed",
            "x.load(Ordering::Acquire);",
        ]) {
            let mutant = site.mutant(0, TEXT, "lib", "models");
            assert_eq!(TEXT.matches(&mutant.find).count(), 1, "{}", mutant.find);
            let changed = TEXT.replacen(&mutant.find, &mutant.replace, 1);
            assert!(changed.contains(has), "{changed}");
            assert_eq!(changed.lines().count(), TEXT.lines().count());
        }
    }

    #[test]
    fn what_is_unnoticed_needs_a_reason_and_nothing_else_has_one() {
        let sites = &found().1[..2];
        let reasons = |index: usize| BTreeMap::from([(sites[index].name(), "why".to_owned())]);
        judge(sites, &[true, false], &reasons(1)).unwrap();
        let error = judge(sites, &[true, false], &reasons(0))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("no model notices runtime/src/a.rs a: store #2"),
            "{error}"
        );
        assert!(
            error.contains("and noticed: runtime/src/a.rs a: store, "),
            "{error}"
        );
    }
}
