//! Programs from text: Go source whose comments `//:` say line by line what flows where.
//!
//! ```text
//! func f(p, q) r, s           a function, its parameters and results
//! local x [size]              a variable; a size is a number of bytes, or `?`
//! p = &x   p = q   p = **q    addresses, copies, dereferences
//! p = x.1   x.1 = p           a field of a variable (0, 1, or 2, the elements)
//! p = q->1   q->1 = p         a field through a pointer
//! p = &x.1   p = &q->1        its address
//! p = new [size]              an allocation
//! p = global   global = p     a global, or anything like it
//! a, b = f(x, _)              a call; f|g one of both, *v a function value, ? unknown
//! defer f(x)   go f(x)        a call later, on another stack
//! p = func f                  a function as a value
//! begin c(p)[x, &y] r … end v a closure, what it captures, and who gets it
//! loop … next                 a loop
//! return a, b
//! ```
//!
//! Statements on a line are separated by `;`.

use super::language::{At, Func, Left, Name, Program, Right, Stmt, Target, When};
use runtime::escape::Size;

/// Functions in the order of their ends, and the line that each begins on.
pub(crate) struct Parsed {
    pub(crate) program: Program,
    pub(crate) lines: Vec<u32>,
}

/// A function whose text is being read.
struct Open {
    index: usize,
    func: Func,
    blocks: Vec<Vec<Stmt>>,
    sites: usize,
    line: u32,
    captured: Vec<(Name, bool)>,
}

struct Parser {
    functions: Vec<Func>,
    lines: Vec<u32>,
    open: Vec<Open>,
    line: u32,
}

/// Reads a whole file. What is wrong in it panics: the corpus is part of the test.
pub(crate) fn parse(text: &str) -> Parsed {
    let mut parser = Parser {
        functions: Vec::new(),
        lines: Vec::new(),
        open: Vec::new(),
        line: 0,
    };
    // All names first, so that calls may go forward.
    for (line, text) in statements(text) {
        if let Some(head) = text.strip_prefix("func ").or(text.strip_prefix("begin ")) {
            let name = head.split('(').next().unwrap_or_default();
            let name = name.trim().to_owned();
            let known = parser.functions.iter().any(|func| func.name == name);
            assert!(!known, "line {line}: `{name}` twice");
            parser.functions.push(Func {
                name,
                ..Func::default()
            });
            parser.lines.push(line);
        }
    }
    for (line, text) in statements(text) {
        parser.line = line;
        parser.statement(text);
    }
    while !parser.open.is_empty() {
        parser.close();
    }
    let Parser {
        functions, lines, ..
    } = parser;
    let program = Program { functions };
    Parsed { program, lines }
}

fn statements(text: &str) -> impl Iterator<Item = (u32, &str)> {
    let lines = (1..).zip(text.lines());
    let flows = lines.filter_map(|(line, text)| Some((line, text.split_once("//:")?.1)));
    let each = flows.flat_map(|(line, text)| {
        let parts = text.split(';');
        parts.map(move |part| (line, part.trim()))
    });
    each.filter(|(_, text)| !text.is_empty())
}

impl Parser {
    fn statement(&mut self, text: &str) {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let at = At {
            line: self.line,
            column: 1,
        };
        match word {
            "func" => {
                while !self.open.is_empty() {
                    self.close();
                }
                self.begin(rest);
            }
            "begin" => self.begin(rest),
            "end" => {
                let closed = self.close();
                let number = self.site();
                let to = self.name(rest);
                let right = Right::Closure(number, closed.index, closed.captured);
                let at = At {
                    line: closed.line,
                    column: 1,
                };
                self.push(Stmt::Assign(Left::Var(to), right, at));
            }
            "local" => {
                let (name, size) = rest.split_once(' ').unwrap_or((rest, "8"));
                let names = &mut self.top().func.names;
                names.push(name.to_owned());
                let index = names.len() - 1;
                self.push(Stmt::Local(index, size_of(size), at));
            }
            "loop" => self.top().blocks.push(Vec::new()),
            "next" => {
                let stmts = self.top().blocks.pop().expect("a block");
                self.push(Stmt::Loop(stmts));
            }
            "return" => {
                let names = self.names(rest);
                self.push(Stmt::Return(names, at));
            }
            "defer" => self.call("", rest, When::Deferred, at),
            "go" => self.call("", rest, When::Spawned, at),
            _ => match text.split_once('=') {
                Some((left, right)) if right.ends_with(')') => {
                    self.call(left.trim(), right.trim(), When::Now, at);
                }
                Some((left, right)) => {
                    let right = self.right(right.trim());
                    let left = self.left(left.trim());
                    self.push(Stmt::Assign(left, right, at));
                }
                None => self.call("", text, When::Now, at),
            },
        }
    }

    fn begin(&mut self, head: &str) {
        let (name, rest) = head.split_once('(').expect("parameters");
        let (parameters, rest) = rest.split_once(')').expect("parameters end");
        let (captures, results) = match rest.trim().strip_prefix('[') {
            Some(rest) => rest.split_once(']').expect("captures end"),
            None => ("", rest),
        };
        let parts = |text: &str| -> Vec<String> {
            let parts = text.split(',').map(|part| part.trim().to_owned());
            parts.filter(|part| !part.is_empty()).collect()
        };
        let (parameters, captures) = (parts(parameters), parts(captures));
        let results = parts(results);
        let captured = captures
            .iter()
            .map(|capture| match capture.strip_prefix('&') {
                Some(name) => (self.name(name), true),
                None => (self.name(capture), false),
            });
        let captured = captured.collect();
        let bare = captures
            .iter()
            .map(|name| name.trim_start_matches('&').to_owned());
        let func = Func {
            name: name.trim().to_owned(),
            parameters: parameters.len(),
            captures: captures.len(),
            results: results.len(),
            names: parameters
                .iter()
                .cloned()
                .chain(bare)
                .chain(results.clone())
                .collect(),
            body: Vec::new(),
        };
        let index = self.function(&func.name);
        let (blocks, line) = (vec![Vec::new()], self.line);
        self.open.push(Open {
            index,
            func,
            blocks,
            sites: 0,
            line,
            captured,
        });
    }

    fn close(&mut self) -> Open {
        let mut open = self.open.pop().expect("an open function");
        assert!(
            open.blocks.len() == 1,
            "{}: a loop has no end",
            open.func.name
        );
        open.func.body = open.blocks.pop().unwrap_or_default();
        self.functions[open.index] = open.func.clone();
        open
    }

    fn call(&mut self, left: &str, text: &str, when: When, at: At) {
        let (callee, rest) = text.split_once('(').expect("a call");
        let arguments = self.names(rest.trim_end_matches(')'));
        let results = self.names(left);
        let callee = match callee.trim() {
            "?" => Target::Unknown,
            value if value.starts_with('*') => Target::Value(self.name(&value[1..])),
            set if set.contains('|') => {
                Target::OneOf(set.split('|').map(|name| self.function(name)).collect())
            }
            name => Target::Static(self.function(name)),
        };
        self.push(Stmt::Call {
            callee,
            arguments,
            results,
            when,
            at,
        });
    }

    fn left(&self, text: &str) -> Left {
        if text == "global" {
            Left::Global
        } else if let Some(name) = text.strip_prefix('*') {
            Left::Star(self.name(name))
        } else if let Some((name, field)) = text.split_once("->") {
            Left::Through(self.name(name), index(field))
        } else if let Some((name, field)) = text.split_once('.') {
            Left::Field(self.name(name), index(field))
        } else {
            Left::Var(self.name(text))
        }
    }

    fn right(&mut self, text: &str) -> Right {
        let (word, rest) = text.split_once(' ').unwrap_or((text, "24"));
        match word {
            "global" => return Right::Global,
            "func" => return Right::Function(self.function(rest)),
            "new" => {
                let number = self.site();
                let name = format!("new@{}", self.line);
                return Right::New(number, name, size_of(rest));
            }
            _ => {}
        }
        let stars = text.len() - text.trim_start_matches('*').len();
        let (address, bare) = match text.strip_prefix('&') {
            Some(bare) => (true, bare),
            None => (false, &text[stars..]),
        };
        if let Some((name, field)) = bare.split_once("->") {
            let (name, field) = (self.name(name), index(field));
            return if address {
                Right::Inside(name, field)
            } else {
                Right::Through(name, field)
            };
        }
        if let Some((name, field)) = bare.split_once('.') {
            let (name, field) = (self.name(name), index(field));
            return if address {
                Right::AddressField(name, field)
            } else {
                Right::Field(name, field)
            };
        }
        let name = self.name(bare);
        match (address, stars) {
            (true, _) => Right::Address(name),
            (false, 0) => Right::Var(name),
            (false, stars) => Right::Load(name, stars as u32),
        }
    }

    fn names(&self, text: &str) -> Vec<Option<Name>> {
        let parts = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty());
        parts
            .map(|part| (part != "_").then(|| self.name(part)))
            .collect()
    }

    fn name(&self, name: &str) -> Name {
        let open = self.open.last().expect("a statement in a function");
        let found = open
            .func
            .names
            .iter()
            .rposition(|known| known == name.trim());
        found.unwrap_or_else(|| panic!("line {}: `{name}` is not known", self.line))
    }

    fn function(&self, name: &str) -> usize {
        let found = self
            .functions
            .iter()
            .position(|func| func.name == name.trim());
        found.unwrap_or_else(|| panic!("line {}: no function `{name}`", self.line))
    }

    fn site(&mut self) -> usize {
        let open = self.top();
        open.sites += 1;
        open.sites - 1
    }

    fn push(&mut self, stmt: Stmt) {
        let block = self.top().blocks.last_mut();
        block.expect("a function has a block").push(stmt);
    }

    fn top(&mut self) -> &mut Open {
        let line = self.line;
        let open = self.open.last_mut();
        open.unwrap_or_else(|| panic!("line {line}: a statement in no function"))
    }
}

fn index(field: &str) -> usize {
    field.trim().parse().expect("a field is 0, 1 or 2")
}

fn size_of(text: &str) -> Size {
    match text.trim() {
        "?" => Size::Unknown,
        bytes => Size::Bytes(bytes.parse().expect("a size is a number")),
    }
}
