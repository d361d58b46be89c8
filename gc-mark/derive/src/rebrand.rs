//! `Rebrand`: the same type under another brand, and the proof that it is the same.
//!
//! `With<'to>` is the type's name with the brand replaced by `'to` and each type parameter by what
//! that parameter calls itself under `'to`. This is right only if every field changes its brand in
//! the same way, so each traced field's type is asked: under `'to`, are you what the declaration
//! says with `'to` in it? A field that says otherwise, or cannot be asked (a borrow, whose lifetime
//! is no brand; a `PhantomData` of one; a `Gc<'static, _>`), does not compile. A skipped field is
//! `'static`, so it names no brand.
//!
//! The bounds of the declaration must hold of the new type too. They are emitted once more with
//! the replacement made, for every `'to`, and rustc checks them where the impl is used.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::punctuated::Punctuated;
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{
    BoundLifetimes, Error, GenericParam, Ident, Lifetime, LifetimeParam, Path, Result, Token,
    TraitBoundModifier, Type, TypeParamBound, TypePath, WherePredicate, parse_quote,
    parse_quote_spanned,
};

use crate::input::{Input, relaxed_params};

/// Emits the impl of `Rebrand` and the check of the fields.
pub(crate) fn derive(input: &Input) -> Result<TokenStream> {
    let Input { name, attrs, .. } = input;
    let krate = &attrs.krate;
    let to = to();
    let mut generics = input.generics.clone();
    generics
        .make_where_clause()
        .predicates
        .extend(predicates(input)?);
    let (impl_generics, ty_generics, where_clause) = generics.split_for_impl();
    let with = with(input);

    let mut check_generics = generics.clone();
    check_generics
        .params
        .push(GenericParam::Lifetime(LifetimeParam::new(to.clone())));
    let (check_impl_generics, _, _) = check_generics.split_for_impl();
    let checks = input.traced().map(|field| {
        let ty = &field.ty;
        let with = Rebranding::of(input, &to, ty.clone(), VisitMut::visit_type_mut)?.0;
        Ok(quote_spanned!(ty.span()=> __same_under::<#to, #ty, #with>();))
    });
    let checks = checks.collect::<Result<Vec<_>>>()?;
    let statics = input
        .generics
        .type_params()
        .filter(|param| !is_traced(input, &param.ident));
    let statics = statics.map(|param| {
        let param = &param.ident;
        quote_spanned!(param.span()=> __only_static::<#param>();)
    });

    Ok(quote! {
        #[automatically_derived]
        unsafe impl #impl_generics #krate::Rebrand for #name #ty_generics #where_clause {
            type With<#to> = #with;
        }

        fn __same_under<#to, A, B>()
        where
            A: ?::core::marker::Sized + #krate::Rebrand<With<#to> = B>,
            B: ?::core::marker::Sized,
        {
        }
        fn __only_static<A: ?::core::marker::Sized + 'static>() {}
        fn __rebrand_checks #check_impl_generics () #where_clause {
            #(#checks)*
            #(#statics)*
        }
    })
}

/// The type under the brand `'to`.
fn with(input: &Input) -> TokenStream {
    let Input {
        name,
        generics,
        attrs,
        ..
    } = input;
    if generics.params.is_empty() {
        return quote!(Self);
    }
    let to = to();
    let args = generics.params.iter().map(|param| match param {
        GenericParam::Lifetime(_) => quote!(#to),
        GenericParam::Const(param) => {
            let param = &param.ident;
            quote!(#param)
        }
        GenericParam::Type(param) if is_traced(input, &param.ident) => {
            let with = param_with(&attrs.krate, &param.ident, &to);
            quote!(#with)
        }
        GenericParam::Type(param) => {
            let param = &param.ident;
            quote!(#param)
        }
    });
    quote!(#name<#(#args),*>)
}

/// What the impl asks for: that the traced parameters can be rebranded, and that the declaration's
/// bounds hold afterwards.
fn predicates(input: &Input) -> Result<Vec<WherePredicate>> {
    let krate = &input.attrs.krate;
    let each = each();
    let relaxed = relaxed_params(&input.generics);
    let mut predicates = Vec::new();
    for param in input.generics.type_params() {
        let ident = &param.ident;
        if is_traced(input, ident) {
            predicates.push(if relaxed.contains(ident) {
                parse_quote!(#ident: #krate::Rebrand)
            } else {
                parse_quote!(#ident: for<#each> #krate::SizedUnder<#each>)
            });
        }
        let ty: Type = parse_quote!(#ident);
        predicates.extend(bounds_with(input, None, &ty, &param.bounds)?);
    }
    for predicate in input
        .generics
        .where_clause
        .iter()
        .flat_map(|clause| &clause.predicates)
    {
        if let WherePredicate::Type(predicate) = predicate {
            let (ty, lifetimes) = (&predicate.bounded_ty, predicate.lifetimes.as_ref());
            predicates.extend(bounds_with(input, lifetimes, ty, &predicate.bounds)?);
        }
    }
    Ok(predicates)
}

/// `lifetimes ty: bounds` under each brand; nothing for a bound that does not change.
fn bounds_with(
    input: &Input,
    lifetimes: Option<&BoundLifetimes>,
    ty: &Type,
    bounds: &Punctuated<TypeParamBound, Token![+]>,
) -> Result<Vec<WherePredicate>> {
    let each = each();
    let (ty, ty_changed) = Rebranding::of(input, &each, ty.clone(), VisitMut::visit_type_mut)?;
    let mut predicates = Vec::new();
    for bound in bounds {
        let (mut bound, bound_changed) = Rebranding::of(
            input,
            &each,
            bound.clone(),
            VisitMut::visit_type_param_bound_mut,
        )?;
        let mut outer: Vec<GenericParam> = Vec::new();
        outer.extend(
            lifetimes
                .iter()
                .flat_map(|lifetimes| lifetimes.lifetimes.clone()),
        );
        if let TypeParamBound::Trait(bound) = &mut bound {
            if let TraitBoundModifier::Maybe(_) = bound.modifier {
                continue;
            }
            // Quantifiers do not nest: those of the bound join that of the brand.
            outer.extend(
                bound
                    .lifetimes
                    .take()
                    .into_iter()
                    .flat_map(|inner| inner.lifetimes),
            );
        }
        if ty_changed || bound_changed {
            predicates.push(parse_quote!(for<#each, #(#outer),*> #ty: #bound));
        }
    }
    Ok(predicates)
}

/// Replaces the brand and the traced parameters in a piece of syntax.
struct Rebranding<'a> {
    input: &'a Input,
    to: &'a Lifetime,
    changed: bool,
    error: Option<Error>,
}

impl<'a> Rebranding<'a> {
    /// `syntax` under the brand `to`, and whether that differs from `syntax`.
    fn of<S>(
        input: &'a Input,
        to: &'a Lifetime,
        mut syntax: S,
        visit: fn(&mut Self, &mut S),
    ) -> Result<(S, bool)> {
        let mut rebranding = Self {
            input,
            to,
            changed: false,
            error: None,
        };
        visit(&mut rebranding, &mut syntax);
        match rebranding.error {
            None => Ok((syntax, rebranding.changed)),
            Some(error) => Err(error),
        }
    }
}

impl VisitMut for Rebranding<'_> {
    fn visit_lifetime_mut(&mut self, lifetime: &mut Lifetime) {
        if self.input.brand.as_ref() == Some(lifetime) {
            *lifetime = self.to.clone();
            self.changed = true;
        }
    }

    fn visit_type_mut(&mut self, ty: &mut Type) {
        if let Type::Path(TypePath { qself: None, path }) = ty {
            let first = &path.segments[0].ident;
            if path.leading_colon.is_none() && is_traced(self.input, first) {
                if path.segments.len() > 1 {
                    let message = "write this out as `<T as Trait>::Name`: the derive has to know \
                                   of which trait it is under another brand";
                    self.error
                        .get_or_insert(Error::new_spanned(&*path, message));
                }
                *ty = param_with(&self.input.attrs.krate, first, self.to);
                self.changed = true;
                return;
            }
        }
        visit_mut::visit_type_mut(self, ty);
    }
}

/// A traced type parameter under the brand `to`.
fn param_with(krate: &Path, param: &Ident, to: &Lifetime) -> Type {
    parse_quote_spanned!(param.span()=> <#param as #krate::Rebrand>::With<#to>)
}

fn is_traced(input: &Input, param: &Ident) -> bool {
    input.traced_params.contains(param)
}

/// The new brand; spelled so that no declaration has it.
fn to() -> Lifetime {
    Lifetime::new("'__to", Span::call_site())
}

/// The new brand in a bound, where it is quantified and must not shadow `to()`.
fn each() -> Lifetime {
    Lifetime::new("'__each", Span::call_site())
}
