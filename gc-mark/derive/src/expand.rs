//! `Trace`, and the three refusals that make it true.
//!
//! Everything is emitted into one anonymous constant:
//!
//! * the impl of `Trace`, which names every field of every variant, so that an attribute macro that
//!   adds a field after the derive has run does not compile;
//! * a conflict with `Drop`: a hidden trait is implemented for everything that has `Drop` and for
//!   this type, which coherence accepts only if the type has none;
//! * for each skipped field, and for a `noscan` type as a whole, a call that asks for `'static`: a
//!   reference into a heap is branded, so what is `'static` holds none;
//! * what `rebrand` emits.

use proc_macro2::TokenStream;
use quote::{format_ident, quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{DeriveInput, Result, parse_quote};

use crate::input::{Input, Shape};
use crate::rebrand;

/// Expands the derive.
pub(crate) fn derive(input: DeriveInput) -> Result<TokenStream> {
    let input = Input::parse(input)?;
    let items = match input.attrs.noscan {
        Some(_) => noscan_items(&input),
        None => {
            let items = [trace_impl(&input), drop_ban(&input), skip_checks(&input)];
            let rebrand = rebrand::derive(&input)?;
            quote!(#(#items)* #rebrand)
        }
    };
    Ok(quote! {
        #[doc(hidden)]
        #[allow(dead_code, deprecated, drop_bounds, non_camel_case_types, clippy::all)]
        const _: () = { #items };
    })
}

/// A type that holds no reference: nothing is asked of its fields, but `'static` of the whole.
fn noscan_items(input: &Input) -> TokenStream {
    let Input {
        name,
        generics,
        attrs,
        ..
    } = input;
    let krate = &attrs.krate;
    let (impl_generics, ty_generics, where_clause) = generics.split_for_impl();
    let check = quote_spanned!(name.span()=> __noscan_is_static::<#name #ty_generics>(););
    quote! {
        #[automatically_derived]
        unsafe impl #impl_generics #krate::Trace for #name #ty_generics #where_clause {
            const NEEDS_TRACE: ::core::primitive::bool = false;
            #[inline]
            fn trace<__V: #krate::Visitor>(&self, _: &mut __V) {}
        }

        #[automatically_derived]
        unsafe impl #impl_generics #krate::Rebrand for #name #ty_generics #where_clause {
            type With<'__to> = Self;
        }

        fn __noscan_is_static<A: ?::core::marker::Sized + 'static>() {}
        fn __noscan_check #impl_generics () #where_clause {
            #check
        }
    }
}

fn trace_impl(input: &Input) -> TokenStream {
    let Input {
        name,
        attrs,
        traced_params,
        ..
    } = input;
    let krate = &attrs.krate;
    let mut generics = input.generics.clone();
    for param in traced_params {
        generics
            .make_where_clause()
            .predicates
            .push(parse_quote!(#param: #krate::Trace));
    }
    let (impl_generics, ty_generics, where_clause) = generics.split_for_impl();
    let needs_trace = input.traced().map(|field| {
        let ty = &field.ty;
        quote_spanned!(ty.span()=> || <#ty as #krate::Trace>::NEEDS_TRACE)
    });
    let body = if input.is_enum && input.shapes.is_empty() {
        quote!(match *self {})
    } else {
        let arms = input.shapes.iter().map(|shape| arm(input, shape));
        quote!(match self { #(#arms)* })
    };
    quote! {
        #[automatically_derived]
        unsafe impl #impl_generics #krate::Trace for #name #ty_generics #where_clause {
            const NEEDS_TRACE: ::core::primitive::bool = false #(#needs_trace)*;
            #[inline]
            fn trace<__V: #krate::Visitor>(&self, __visitor: &mut __V) { #body }
        }
    }
}

/// One arm of `trace`: visits the fields of one shape in the order of the declaration.
fn arm(input: &Input, shape: &Shape) -> TokenStream {
    let krate = &input.attrs.krate;
    let variant = shape.variant.iter();
    let mut patterns = Vec::new();
    let mut visits = Vec::new();
    for (index, field) in shape.fields.iter().enumerate() {
        let (member, ty) = (&field.member, &field.ty);
        if field.skip {
            patterns.push(quote!(#member: _));
            continue;
        }
        let binding = format_ident!("__field_{index}");
        patterns.push(quote!(#member: #binding));
        visits.push(quote_spanned! {ty.span()=>
            if <#ty as #krate::Trace>::NEEDS_TRACE {
                <#ty as #krate::Trace>::trace(#binding, __visitor);
            }
        });
    }
    quote!(Self #(::#variant)* { #(#patterns),* } => { #(#visits)* })
}

/// Conflicts with a `Drop` written by hand. The trait's name is what the user reads in the error.
fn drop_ban(input: &Input) -> TokenStream {
    let Input { name, generics, .. } = input;
    let (impl_generics, ty_generics, where_clause) = generics.split_for_impl();
    let ban = quote_spanned! {name.span()=>
        impl #impl_generics TracedTypeMustNotImplDrop for #name #ty_generics #where_clause {}
    };
    quote! {
        trait TracedTypeMustNotImplDrop {}
        impl<A: ?::core::marker::Sized + ::core::ops::Drop> TracedTypeMustNotImplDrop for A {}
        #ban
    }
}

/// Asks each skipped field for `'static`, under no bound but the declaration's.
fn skip_checks(input: &Input) -> TokenStream {
    let (impl_generics, _, where_clause) = input.generics.split_for_impl();
    let checks = input.skipped().map(|field| {
        let ty = &field.ty;
        quote_spanned!(ty.span()=> __skipped_is_static::<#ty>();)
    });
    quote! {
        fn __skipped_is_static<A: ?::core::marker::Sized + 'static>() {}
        fn __skip_checks #impl_generics () #where_clause {
            #(#checks)*
        }
    }
}
