//! The declaration that the derive was put on, reduced to what the expansion needs.
//!
//! `Self` is written out here once, so that a field's type means the same in a free function.

use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::visit_mut::{self, VisitMut};
use syn::{
    Data, DeriveInput, Error, Fields, Generics, Ident, Lifetime, Member, Result,
    TraitBoundModifier, Type, TypeParamBound, TypePath, WherePredicate, parse_quote,
};

use crate::attr::{self, TypeAttrs};

/// A struct or an enum.
pub(crate) struct Input {
    pub(crate) name: Ident,
    pub(crate) generics: Generics,
    pub(crate) attrs: TypeAttrs,
    /// The only lifetime parameter, if there is one.
    pub(crate) brand: Option<Lifetime>,
    /// The type parameters that a traced field names: those that can bring references along.
    pub(crate) traced_params: Vec<Ident>,
    /// Whether a value is `match`ed by variants.
    pub(crate) is_enum: bool,
    /// A struct is a single shape without a name.
    pub(crate) shapes: Vec<Shape>,
}

/// A struct's body, or a variant's.
pub(crate) struct Shape {
    pub(crate) variant: Option<Ident>,
    pub(crate) fields: Vec<Field>,
}

/// A field, in the order of the declaration.
pub(crate) struct Field {
    pub(crate) member: Member,
    pub(crate) ty: Type,
    pub(crate) skip: bool,
}

impl Input {
    /// Reads a declaration, and refuses what cannot be derived for whatever its fields are.
    pub(crate) fn parse(mut input: DeriveInput) -> Result<Self> {
        let attrs = TypeAttrs::parse(&input.attrs)?;
        write_out_self(&mut input);
        let (is_enum, shapes) = match input.data {
            Data::Struct(data) => (false, vec![Shape::parse(None, data.fields)?]),
            Data::Enum(data) => {
                let variants = data.variants.into_iter().map(|variant| {
                    attr::parse_variant(&variant.attrs)?;
                    Shape::parse(Some(variant.ident), variant.fields)
                });
                (true, variants.collect::<Result<_>>()?)
            }
            Data::Union(data) => {
                return Err(Error::new(
                    data.union_token.span,
                    "`Trace` cannot be derived for a union: nothing says which field holds a value",
                ));
            }
        };
        let brand = brand(&input.generics)?;
        let mut input = Self {
            name: input.ident,
            generics: input.generics,
            attrs,
            brand,
            traced_params: Vec::new(),
            is_enum,
            shapes,
        };
        input.check_noscan()?;
        let named = idents(
            input
                .traced()
                .map(|field| field.ty.to_token_stream())
                .collect(),
        );
        let params = input
            .generics
            .type_params()
            .map(|param| param.ident.clone());
        input.traced_params = params.filter(|param| named.contains(param)).collect();
        Ok(input)
    }

    /// All fields that are traced.
    pub(crate) fn traced(&self) -> impl Iterator<Item = &Field> {
        self.fields().filter(|field| !field.skip)
    }

    /// All fields that are not.
    pub(crate) fn skipped(&self) -> impl Iterator<Item = &Field> {
        self.fields().filter(|field| field.skip)
    }

    fn fields(&self) -> impl Iterator<Item = &Field> {
        self.shapes.iter().flat_map(|shape| &shape.fields)
    }

    fn check_noscan(&self) -> Result<()> {
        let Some(noscan) = self.attrs.noscan else {
            return Ok(());
        };
        if self.brand.is_some() {
            let message = "a type with a lifetime parameter cannot be `noscan`: the lifetime is \
                           taken for the brand of the references that it holds";
            return Err(Error::new(noscan, message));
        }
        match self.skipped().next() {
            None => Ok(()),
            Some(field) => {
                let message = "a `noscan` type has no field to skip: none is traced";
                Err(Error::new_spanned(&field.member, message))
            }
        }
    }
}

impl Shape {
    fn parse(variant: Option<Ident>, fields: Fields) -> Result<Self> {
        let members: Vec<Member> = fields.members().collect();
        let fields = members.into_iter().zip(fields).map(|(member, field)| {
            let skip = attr::parse_field(&field.attrs)?;
            Ok(Field {
                member,
                ty: field.ty,
                skip,
            })
        });
        Ok(Self {
            variant,
            fields: fields.collect::<Result<_>>()?,
        })
    }
}

/// The only lifetime parameter; an error if there are more, or if it is bounded.
fn brand(generics: &Generics) -> Result<Option<Lifetime>> {
    const BOUNDED: &str = "the brand cannot be bounded: it stands for any brand";
    let mut lifetimes = generics.lifetimes();
    let Some(brand) = lifetimes.next() else {
        return Ok(None);
    };
    if let Some(other) = lifetimes.next() {
        return Err(Error::new_spanned(
            &other.lifetime,
            "a traced type has at most one lifetime parameter, the brand of its references: it is \
             stored under another brand, which would stretch a borrow of any other lifetime",
        ));
    }
    if !brand.bounds.is_empty() {
        return Err(Error::new_spanned(&brand.bounds, BOUNDED));
    }
    for predicate in generics
        .where_clause
        .iter()
        .flat_map(|clause| &clause.predicates)
    {
        if let WherePredicate::Lifetime(predicate) = predicate {
            return Err(Error::new_spanned(predicate, BOUNDED));
        }
    }
    Ok(Some(brand.lifetime.clone()))
}

/// Replaces `Self` by the type that it stands for.
fn write_out_self(input: &mut DeriveInput) {
    struct SelfIs(Type);
    impl VisitMut for SelfIs {
        fn visit_type_mut(&mut self, ty: &mut Type) {
            match ty {
                Type::Path(TypePath { qself: None, path }) if path.is_ident("Self") => {
                    *ty = self.0.clone();
                }
                _ => visit_mut::visit_type_mut(self, ty),
            }
        }
    }
    let name = &input.ident;
    let (_, ty_generics, _) = input.generics.split_for_impl();
    let mut self_is = SelfIs(parse_quote!(#name #ty_generics));
    self_is.visit_generics_mut(&mut input.generics);
    self_is.visit_data_mut(&mut input.data);
}

/// All identifiers in `tokens`, so inside macros too.
///
/// A superset of the parameters named, which costs a bound that was not needed, where a subset
/// would cost an edge.
fn idents(tokens: TokenStream) -> Vec<Ident> {
    let mut found = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Ident(ident) => found.push(ident),
            TokenTree::Group(group) => found.extend(idents(group.stream())),
            TokenTree::Punct(_) | TokenTree::Literal(_) => {}
        }
    }
    found
}

/// The type parameters that accept unsized types: `T: ?Sized`, in either place.
pub(crate) fn relaxed_params(generics: &Generics) -> Vec<Ident> {
    let is_relaxed = |bound: &TypeParamBound| match bound {
        TypeParamBound::Trait(bound) => matches!(bound.modifier, TraitBoundModifier::Maybe(_)),
        _ => false,
    };
    let mut relaxed = Vec::new();
    for param in generics.type_params() {
        if param.bounds.iter().any(is_relaxed) {
            relaxed.push(param.ident.clone());
        }
    }
    for predicate in generics
        .where_clause
        .iter()
        .flat_map(|clause| &clause.predicates)
    {
        if let WherePredicate::Type(predicate) = predicate
            && let Type::Path(TypePath { qself: None, path }) = &predicate.bounded_ty
            && predicate.bounds.iter().any(is_relaxed)
        {
            relaxed.extend(path.get_ident().cloned());
        }
    }
    relaxed
}
