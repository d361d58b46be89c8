//! What holds of every expansion, whatever the declaration.
//!
//! The derive returns, rather than panics. What it returns for a declaration that it takes is one
//! item with one `unsafe impl` of each trait, in which every traced field counts towards
//! `NEEDS_TRACE` and is visited in a pattern of its own, every skipped field is checked, and no
//! brand is left behind. What it returns for one that it refuses is a `compile_error!`.

use crate::expand;
use crate::write::{Choices, Written, declaration};
use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::visit::{self, Visit};
use syn::{DeriveInput, File, ImplItem, Item, ItemImpl, Stmt};

/// Runs an input: text as it is, text of words that mean something to the derive, or what
/// [`declaration`] writes. Whether the derive took it.
pub(crate) fn run_input(input: &[u8]) -> bool {
    let mut choices = Choices(input);
    match choices.below(8) {
        0 => matches!(expanded(&String::from_utf8_lossy(choices.0)), Some(Ok(_))),
        1 => matches!(expanded(&words(&mut choices)), Some(Ok(_))),
        _ => written(&declaration(&mut choices)),
    }
}

/// Words by chance, from those that the derive looks at.
fn words(choices: &mut Choices<'_>) -> String {
    const WORDS: [&str; 32] = [
        "struct", "enum", "union", "S", "<", ">", "'gc", "T", ":", "?", "Sized", ",", "where", "{",
        "}", "(", ")", ";", "#", "[", "]", "trace", "skip", "noscan", "crate", "=", "::", "for",
        "Self", "&", "u8", "=>",
    ];
    let mut text = String::from("#[trace(crate = c)] struct S");
    while !choices.0.is_empty() {
        text += " ";
        text += choices.of(&WORDS);
    }
    text
}

/// The expansion of what rustc would hand to the derive; nothing if that is no declaration.
fn expanded(text: &str) -> Option<Result<File, File>> {
    let input: DeriveInput = syn::parse_str(text).ok()?;
    let parse = |tokens: TokenStream| {
        let file: syn::Result<File> = syn::parse2(tokens.clone());
        file.unwrap_or_else(|error| panic!("{error} in\n{tokens}\nfrom\n{text}"))
    };
    Some(match expand::derive(input) {
        Ok(tokens) => Ok(parse(tokens)),
        Err(error) => {
            let file = parse(error.into_compile_error());
            let said = file.to_token_stream().to_string();
            assert!(said.contains("compile_error"), "{said}\nfrom\n{text}");
            Err(file)
        }
    })
}

/// Checks the expansion against what the writer knows; whether there is one.
fn written(written: &Written) -> bool {
    let text = &written.text;
    let Some(expansion) = expanded(text) else {
        panic!("this is no declaration:\n{text}");
    };
    let file = match (expansion, written.refused) {
        (Ok(file), None) => file,
        (Err(_), Some(_)) => return false,
        (Ok(_), Some(why)) => panic!("{why} was not refused:\n{text}"),
        (Err(file), None) => panic!("{}\nwas said of\n{text}", file.to_token_stream()),
    };
    let said = file.to_token_stream();
    let seen = Seen::of(&file);
    let count = |name| identifiers(said.clone(), &|found| found == name);
    let fields = |name: &str| {
        let number = name.strip_prefix("__field_");
        number.is_some_and(|number| number.parse::<usize>().is_ok())
    };
    let traced = written.traced;
    assert_eq!(
        seen.implemented,
        ["Trace", "Rebrand"],
        "{said}\nfrom\n{text}"
    );
    assert_eq!(
        seen.counted, traced,
        "fields that decide `NEEDS_TRACE` in\n{said}\nfrom\n{text}"
    );
    assert_eq!(
        identifiers(seen.trace, &fields),
        2 * traced,
        "bindings and visits in\n{said}\nfrom\n{text}"
    );
    let is_traced = !written.is_noscan;
    let shapes = if is_traced { written.shapes } else { 0 };
    assert_eq!(seen.arms, shapes, "{said}\nfrom\n{text}");
    assert_eq!(
        count("__skipped_is_static"),
        written.skipped + usize::from(is_traced),
        "{said}\nfrom\n{text}"
    );
    let bans = count("TracedTypeMustNotImplDrop");
    assert_eq!(bans, if is_traced { 3 } else { 0 }, "{said}\nfrom\n{text}");
    assert_eq!(seen.brands_left, 0, "`With` in\n{said}\nfrom\n{text}");
    true
}

/// What an expansion holds.
#[derive(Default)]
struct Seen {
    /// The traits that it implements.
    implemented: Vec<String>,
    /// Fields that count towards `NEEDS_TRACE`.
    counted: usize,
    /// What is done to the fields.
    trace: TokenStream,
    arms: usize,
    /// Lifetimes in `With` that are the declaration's own.
    brands_left: usize,
}

impl Seen {
    fn of(file: &File) -> Self {
        let mut seen = Self::default();
        let [Item::Const(item)] = &file.items[..] else {
            panic!("{} items where one is wanted", file.items.len());
        };
        let syn::Expr::Block(block) = &*item.expr else {
            panic!("a constant without a block");
        };
        for statement in &block.block.stmts {
            if let Stmt::Item(Item::Impl(item)) = statement {
                seen.see(item);
            }
        }
        seen
    }

    fn see(&mut self, item: &ItemImpl) {
        if item.unsafety.is_none() {
            return;
        }
        let name = item
            .trait_
            .as_ref()
            .and_then(|(_, path, _)| path.segments.last());
        self.implemented
            .extend(name.map(|name| name.ident.to_string()));
        for item in &item.items {
            match item {
                ImplItem::Const(item) => {
                    let tokens = item.expr.to_token_stream();
                    self.counted += identifiers(tokens, &|name| name == "NEEDS_TRACE");
                }
                ImplItem::Fn(item) => {
                    self.trace = item.block.to_token_stream();
                    Arms(&mut self.arms).visit_block(&item.block);
                }
                ImplItem::Type(item) => Brands(&mut self.brands_left).visit_type(&item.ty),
                _ => {}
            }
        }
    }
}

/// Counts the arms of matches.
struct Arms<'c>(&'c mut usize);

impl<'ast> Visit<'ast> for Arms<'_> {
    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        *self.0 += 1;
        visit::visit_arm(self, arm);
    }
}

/// Counts the lifetimes that are called as the writer calls a brand.
struct Brands<'c>(&'c mut usize);

impl<'ast> Visit<'ast> for Brands<'_> {
    fn visit_lifetime(&mut self, lifetime: &'ast syn::Lifetime) {
        *self.0 += usize::from(lifetime.ident == "gc");
    }
}

/// How many identifiers are wanted, at any depth.
fn identifiers(tokens: TokenStream, wanted: &dyn Fn(&str) -> bool) -> usize {
    let of = |token| match token {
        TokenTree::Ident(ident) => usize::from(wanted(&ident.to_string())),
        TokenTree::Group(group) => identifiers(group.stream(), wanted),
        TokenTree::Punct(_) | TokenTree::Literal(_) => 0,
    };
    tokens.into_iter().map(of).sum()
}
