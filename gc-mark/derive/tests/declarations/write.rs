//! A byte string as the text of a declaration, and what its writer knows of it.
//!
//! The derive sees syntax alone, so the declarations need not compile: names may lead nowhere, and
//! bounds may contradict each other. What they hold is what the derive looks at: parameters of each
//! sort and their bounds, attributes right and wrong, and types in which parameters and lifetimes
//! hide.

/// How deep types nest.
const DEPTH_MAX: usize = 3;
/// Fields of a shape and variants of an enum at most.
const MEMBERS_MAX: usize = 5;

/// Choices that a byte string spells; zeroes when it is over.
pub(crate) struct Choices<'a>(pub(crate) &'a [u8]);

impl Choices<'_> {
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let Some((first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        usize::from(*first) % end
    }

    /// True once in so many times.
    fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == times - 1
    }

    pub(crate) fn of<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// A declaration.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) text: String,
    /// What the derive must refuse it for.
    pub(crate) refused: Option<&'static str>,
    pub(crate) is_noscan: bool,
    /// Variants, or 1.
    pub(crate) shapes: usize,
    pub(crate) traced: usize,
    pub(crate) skipped: usize,
    params: Vec<&'static str>,
}

impl Written {
    fn refuse(&mut self, why: &'static str) {
        self.refused.get_or_insert(why);
    }
}

/// Writes the declaration that the choices spell.
pub(crate) fn declaration(choices: &mut Choices<'_>) -> Written {
    let mut written = Written::default();
    type_attributes(choices, &mut written);
    let keyword = choices.of(&["struct", "struct", "enum", "enum", "enum", "union"]);
    written.text += &format!(
        "{}{keyword} r#Type",
        choices.of(&["pub ", "", "pub(crate) "])
    );
    let lifetimes = generics(choices, &mut written);
    let predicates = predicates(choices, &mut written, lifetimes);
    if written.is_noscan && lifetimes > 0 {
        written.refuse("noscan with a brand");
    }
    written.shapes = 1;
    match keyword {
        "enum" => {
            written.shapes = choices.below(MEMBERS_MAX);
            written.text += &format!("{predicates} {{ ");
            for number in 0..written.shapes {
                variant_attribute(choices, &mut written);
                written.text += &format!("V{number}");
                let form = choices.below(3);
                fields(choices, &mut written, form);
                written.text += ", ";
            }
            written.text += "}";
        }
        "union" => {
            written.refuse("a union");
            written.text += &format!("{predicates} {{ a: u8, b: {} }}", plain(choices));
        }
        _ => match choices.below(3) {
            0 => {
                written.text += &predicates;
                fields(choices, &mut written, 0);
            }
            form => {
                fields(choices, &mut written, form);
                written.text += &format!("{predicates};");
            }
        },
    }
    if written.is_noscan && written.skipped > 0 {
        written.refuse("noscan with a skipped field");
    }
    written
}

fn type_attributes(choices: &mut Choices<'_>, written: &mut Written) {
    let is_found = !choices.once_in(32);
    if is_found {
        written.text += "#[trace(crate = ::some::gc_mark)] ";
    } else {
        written.refuse("no crate is said, and none is found here");
    }
    let (text, noscans, refused) = match choices.below(24) {
        0..=15 => ("", 0, None),
        16..=18 => ("#[trace(noscan)] ", 1, None),
        19 => ("#[trace()] #[other(noscan)] /** a word */ ", 0, None),
        20 => ("#[trace(noscan, noscan)] ", 2, Some("said twice")),
        21 if is_found => ("#[trace(crate = c, noscan)] ", 1, Some("two crates")),
        21 => ("", 0, None),
        22 => ("#[trace(unknown)] ", 0, Some("an unknown attribute")),
        _ => ("#[trace] ", 0, Some("an attribute that says nothing")),
    };
    written.text += text;
    written.is_noscan = noscans > 0;
    if let Some(refused) = refused {
        written.refuse(refused);
    }
}

/// Writes the parameters; how many lifetimes there are.
fn generics(choices: &mut Choices<'_>, written: &mut Written) -> usize {
    let lifetimes = choices.of(&[0, 0, 1, 1, 1, 1, 1, 2]);
    let mut params: Vec<String> = Vec::new();
    for name in &["'gc", "'b"][..lifetimes] {
        let bound = choices.once_in(24);
        params.push(format!("{name}{}", if bound { ": 'static" } else { "" }));
        if bound {
            written.refuse("a bounded brand");
        }
    }
    if lifetimes == 2 {
        written.refuse("two lifetimes");
    }
    for name in &["T", "U", "r#type"][..choices.below(4)] {
        let bounds = choices.of(&[
            "",
            "",
            ": Clone",
            ": ?Sized",
            ": Clone + ?Sized + Send",
            ": 'static",
            ": for<'x> Fn(&'x T, Self) -> U",
            ": Iterator<Item = Gc<'gc, T>>",
            ": (Into<T>)",
            ":",
        ]);
        let default = choices.of(&["", "", "", " = u8", " = Vec<T>"]);
        params.push(format!("{name}{bounds}{default}"));
        written.params.push(name);
    }
    if choices.once_in(4) {
        params.push(
            choices
                .of(&["const N: usize", "const N: usize = 3"])
                .to_owned(),
        );
    }
    if !params.is_empty() {
        written.text += &format!("<{}>", params.join(", "));
    }
    lifetimes
}

fn predicates(choices: &mut Choices<'_>, written: &mut Written, lifetimes: usize) -> String {
    let count = choices.below(4).saturating_sub(1);
    let mut text = String::new();
    for _ in 0..count {
        let all = [
            "T: Clone",
            "U: ?Sized",
            "Vec<T>: Clone + for<'y> Into<&'y U>",
            "for<'x> &'x T: Into<Self>",
            "Self: Sized",
            "[T; N]: Default",
            "r#type:",
            "'gc: 'static",
        ];
        let predicate = choices.of(&all);
        if predicate.starts_with('\'') && lifetimes > 0 {
            written.refuse("a bounded brand");
        }
        text += if text.is_empty() { " where " } else { ", " };
        text += predicate;
    }
    text
}

fn variant_attribute(choices: &mut Choices<'_>, written: &mut Written) {
    match choices.below(24) {
        22 => written.text += "#[trace()] #[default] ",
        23 => {
            written.text += "#[trace(skip)] ";
            written.refuse("an attribute on a variant");
        }
        _ => {}
    }
}

/// Writes fields: with names (form 0), without (1), or none at all (2).
fn fields(choices: &mut Choices<'_>, written: &mut Written, form: usize) {
    if form == 2 {
        return;
    }
    written.text += if form == 0 { " { " } else { "(" };
    for number in 0..choices.below(MEMBERS_MAX) {
        let is_skipped = field_attribute(choices, written);
        let mut names_associated = false;
        let ty = ty(choices, written, 0, &mut names_associated);
        if is_skipped {
            written.skipped += 1;
        } else if !written.is_noscan {
            written.traced += 1;
            if names_associated {
                written.refuse("an associated type of a parameter");
            }
        }
        let name = choices.of(&["field", "r#fn", "__field_0_", "x"]);
        written.text += &match form {
            0 => format!("{name}{number}: {ty}, "),
            _ => format!("pub {ty}, "),
        };
    }
    written.text += if form == 0 { "}" } else { ")" };
}

/// Writes what stands before a field; whether it is to be skipped.
fn field_attribute(choices: &mut Choices<'_>, written: &mut Written) -> bool {
    let (text, is_skipped, refused) = match choices.below(32) {
        0..=19 => ("", false, None),
        20..=25 => ("#[trace(skip)] ", true, None),
        26 => ("/// It.\n#[trace()] #[serde(skip)] ", false, None),
        27 => ("#[trace()] #[trace(skip,)] ", true, None),
        28 => ("#[trace(skip)] #[trace(skip)] ", true, Some("said twice")),
        29 => ("#[trace(noscan)] ", false, Some("an attribute of a type")),
        30 => ("#[trace = \"skip\"] ", false, Some("a value")),
        _ => ("#[trace(skip = 1)] ", false, Some("a value behind skip")),
    };
    written.text += text;
    if let Some(refused) = refused {
        written.refuse(refused);
    }
    is_skipped
}

/// A type without parts.
fn plain(choices: &mut Choices<'_>) -> &'static str {
    choices.of(&[
        "u8",
        "String",
        "()",
        "!",
        "Self",
        "&'static str",
        "_",
        "a::B",
    ])
}

/// A type; whether it names an associated type of a parameter without its trait.
fn ty(
    choices: &mut Choices<'_>,
    written: &Written,
    depth: usize,
    names_associated: &mut bool,
) -> String {
    let form = if depth == DEPTH_MAX {
        0
    } else {
        choices.below(24)
    };
    let mut part = |choices: &mut Choices<'_>| ty(choices, written, depth + 1, names_associated);
    match form {
        0..=2 => plain(choices).to_owned(),
        3..=6 => param(choices, written).to_owned(),
        7 | 8 => format!("Gc<'gc, {}>", part(choices)),
        9 => format!("Vec<{}>", part(choices)),
        10 => format!("({}, {})", part(choices), part(choices)),
        11 => format!("[{}; N]", part(choices)),
        12 => format!("[{}]", part(choices)),
        13 => format!("&'gc mut {}", part(choices)),
        14 => format!("*const {}", part(choices)),
        15 => format!(
            "for<'x> unsafe extern \"C\" fn(&'x {}) -> {}",
            part(choices),
            part(choices)
        ),
        16 => format!(
            "Box<dyn for<'x> Fn(&'x {}) -> Self + Send + 'gc>",
            part(choices)
        ),
        17 => format!(
            "<{} as Iterator<'gc, Of = {}>>::Item",
            part(choices),
            part(choices)
        ),
        18 => format!("({})", part(choices)),
        19 => format!("made!({}, 'gc)", param(choices, written)),
        20 => format!(
            "Of<{{ size_of::<{}>() }}, Item = {}>",
            param(choices, written),
            part(choices)
        ),
        21 => format!("::std::marker::PhantomData<fn() -> {}>", part(choices)),
        22 => "Self::Item".to_owned(),
        _ => {
            let param = param(choices, written);
            *names_associated |= written.params.contains(&param);
            format!("{param}::Item")
        }
    }
}

/// A parameter, or what would be one if it were declared.
fn param(choices: &mut Choices<'_>, written: &Written) -> &'static str {
    match written.params.len() {
        0 => "T",
        _ => choices.of(&written.params),
    }
}
