//! Tells a Rust file's code from its comments and its literals.
//!
//! The three come back as texts of the same shape as the file: what belongs to another is blank,
//! line breaks stay. So a rule that looks for a word in code cannot stumble over a comment or a
//! string, and a byte's place in one text is its place in all.
//!
//! This is a lexer for text that rustc accepts: of a file that it would refuse, it makes
//! something, and no promise.

/// A Rust file taken apart.
pub(crate) struct Layers {
    /// Code: keywords, names, punctuation, numbers.
    pub(crate) code: String,
    /// Comments, with their slashes, doc comments among them.
    pub(crate) comments: String,
    /// String, byte and character literals, with their quotes.
    pub(crate) literals: String,
}

/// What a stretch of text is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Layer {
    Code,
    Comment,
    Literal,
}

impl Layers {
    /// Takes `text` apart. Linear in its length.
    pub(crate) fn of(text: &str) -> Self {
        let mut layers = Self {
            code: String::with_capacity(text.len()),
            comments: String::with_capacity(text.len()),
            literals: String::with_capacity(text.len()),
        };
        let mut rest = text;
        let mut before = None;
        while !rest.is_empty() {
            let (layer, length) = next(rest, before);
            let (piece, tail) = rest.split_at(length);
            layers.push(layer, piece);
            before = piece.chars().next_back();
            rest = tail;
        }
        layers
    }

    /// Appends `piece` to its layer and blanks to the others.
    fn push(&mut self, layer: Layer, piece: &str) {
        for (own, text) in [
            (Layer::Code, &mut self.code),
            (Layer::Comment, &mut self.comments),
            (Layer::Literal, &mut self.literals),
        ] {
            if own == layer {
                text.push_str(piece);
            } else {
                text.extend(piece.bytes().map(|b| if b == b'\n' { '\n' } else { ' ' }));
            }
        }
    }
}

/// The layer of the piece that `rest` begins with, and its length in bytes.
///
/// `before` is the character in front of it: it tells `br"…"` from the name `abr` and a quote.
fn next(rest: &str, before: Option<char>) -> (Layer, usize) {
    if rest.starts_with("//") {
        return (Layer::Comment, rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return (Layer::Comment, block_comment(rest));
    }
    let in_name = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
    if !in_name && let Some(length) = prefixed_string(rest) {
        return (Layer::Literal, length);
    }
    if rest.starts_with('"') {
        return (Layer::Literal, quoted(rest, '"'));
    }
    if rest.starts_with('\'') && is_char(rest) {
        return (Layer::Literal, quoted(rest, '\''));
    }
    (Layer::Code, rest.chars().next().map_or(0, char::len_utf8))
}

/// The length of the block comment that `rest` begins with; they nest.
fn block_comment(rest: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest[at..].chars().next().map_or(1, char::len_utf8);
        }
    }
    rest.len()
}

/// The length of a string with a prefix (`r"`, `br#"`, `b"`, `c"`), if `rest` begins with one.
fn prefixed_string(rest: &str) -> Option<usize> {
    let letters = rest.find(|c| !matches!(c, 'b' | 'c' | 'r'))?;
    let (prefix, tail) = rest.split_at(letters);
    match prefix {
        "b" | "c" if tail.starts_with('"') => Some(letters + quoted(tail, '"')),
        "b" if tail.starts_with('\'') => Some(letters + quoted(tail, '\'')),
        "r" | "br" | "cr" => {
            let hashes = tail.len() - tail.trim_start_matches('#').len();
            // `r#name` is a raw identifier.
            let body = tail[hashes..].strip_prefix('"')?;
            let end = format!("\"{}", "#".repeat(hashes));
            let length = body.find(&end).map_or(body.len(), |at| at + end.len());
            Some(letters + hashes + 1 + length)
        }
        _ => None,
    }
}

/// The length of the literal that `rest` begins with, up to the next `quote` without backslash.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// Whether the quote that `rest` begins with opens a character, not a lifetime.
fn is_char(rest: &str) -> bool {
    let mut chars = rest.chars().skip(1);
    match chars.next() {
        Some('\\') => true,
        Some(_) => chars.next() == Some('\''),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_have_the_shape_of_the_file() {
        let text = "let a = \"x // y\"; // z\n/* a /* b */ c */ fn f() {}\n";
        let layers = Layers::of(text);
        assert_eq!(
            layers.code,
            "let a =         ;     \n                  fn f() {}\n"
        );
        assert_eq!(layers.comments.lines().next().unwrap().trim(), "// z");
        assert_eq!(layers.literals.trim(), "\"x // y\"");
    }

    #[test]
    fn literals_of_every_form() {
        for literal in [
            r#""a\"b""#,
            "r\"a\\\"",
            "r#\"a\"b\"#",
            "b\"ab\"",
            "br##\"a\"#b\"##",
            "'a'",
            "'\\''",
            "b'x'",
            "'\"'",
            "c\"ab\"",
            "\"\\\\\"",
        ] {
            let layers = Layers::of(&format!("f({literal});"));
            assert_eq!(layers.literals.trim(), literal);
            assert_eq!(layers.code.replace(' ', ""), "f();");
        }
    }

    #[test]
    fn lifetimes_and_raw_names_are_code() {
        let text = "fn f<'a>(r#fn: &'a str, abr: u8) -> &'static str { x::<'_>() }";
        assert_eq!(Layers::of(text).code, text);
    }
}
