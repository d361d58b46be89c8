//! The `#[trace(...)]` attributes: on a type `noscan` and `crate = path`, on a field `skip`.
//!
//! Anything else is refused, and so is anything said twice: an attribute that is ignored would be a
//! promise that nobody keeps.

use proc_macro_crate::{FoundCrate, crate_name};
use proc_macro2::Span;
use syn::meta::ParseNestedMeta;
use syn::{Attribute, Error, Ident, Path, Result, parse_quote};

/// What the attributes on a type say.
pub(crate) struct TypeAttrs {
    /// `noscan`, where it was said.
    pub(crate) noscan: Option<Span>,
    /// The path at which `gc-mark`'s items are found.
    pub(crate) krate: Path,
}

impl TypeAttrs {
    /// Reads the attributes of a type; without `crate = path`, looks the path up.
    pub(crate) fn parse(attrs: &[Attribute]) -> Result<Self> {
        let mut noscan = None;
        let mut krate = None;
        parse(attrs, |meta| {
            if meta.path.is_ident("noscan") {
                set_once(&mut noscan, meta.path.segments[0].ident.span(), &meta)
            } else if meta.path.is_ident("crate") {
                let path = meta.value()?.call(Path::parse_mod_style)?;
                set_once(&mut krate, path, &meta)
            } else {
                Err(meta.error("unknown attribute: a type takes `noscan` or `crate = path`"))
            }
        })?;
        let krate = match krate {
            Some(path) => path,
            None => find_crate()?,
        };
        Ok(Self { noscan, krate })
    }
}

/// Whether a field is `#[trace(skip)]`.
pub(crate) fn parse_field(attrs: &[Attribute]) -> Result<bool> {
    let mut skip = None;
    parse(attrs, |meta| {
        if meta.path.is_ident("skip") {
            set_once(&mut skip, (), &meta)
        } else {
            Err(meta.error("unknown attribute: a field takes `skip`"))
        }
    })?;
    Ok(skip.is_some())
}

/// Refuses any attribute on an enum's variant.
pub(crate) fn parse_variant(attrs: &[Attribute]) -> Result<()> {
    parse(attrs, |meta| {
        Err(meta.error("a variant takes no attribute: put `skip` on each of its fields"))
    })
}

fn parse(
    attrs: &[Attribute],
    mut each: impl FnMut(ParseNestedMeta<'_>) -> Result<()>,
) -> Result<()> {
    for attr in attrs.iter().filter(|attr| attr.path().is_ident("trace")) {
        attr.parse_nested_meta(&mut each)?;
    }
    Ok(())
}

fn set_once<T>(place: &mut Option<T>, value: T, meta: &ParseNestedMeta<'_>) -> Result<()> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(meta.error("said twice")),
    }
}

/// The path at which a user's crate sees `gc-mark`: through `runtime` if it depends on that, else
/// directly.
///
/// Inside either crate the same absolute path serves: tests, examples and doctests name the
/// library as any other, and `runtime` names itself by `extern crate self`.
fn find_crate() -> Result<Path> {
    if let Ok(found) = crate_name("runtime") {
        let runtime = ident_of(found, "runtime");
        return Ok(parse_quote!(::#runtime::gc_mark));
    }
    match crate_name("gc-mark") {
        Ok(found) => {
            let gc_mark = ident_of(found, "gc_mark");
            Ok(parse_quote!(::#gc_mark))
        }
        Err(_) => Err(Error::new(
            Span::call_site(),
            "`derive(Trace)` finds neither `runtime` nor `gc-mark` in Cargo.toml: add one of them, \
             or say where `Trace` is with `#[trace(crate = path)]`",
        )),
    }
}

fn ident_of(found: FoundCrate, itself: &str) -> Ident {
    match found {
        FoundCrate::Itself => Ident::new(itself, Span::call_site()),
        FoundCrate::Name(name) => Ident::new(&name, Span::call_site()),
    }
}
