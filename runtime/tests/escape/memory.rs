//! The machine's memory: cells, who may point to what, and the search for pointers to the dead.

use super::super::language::{FIELDS, Name};
use super::{Cells, Fault, Frame, Id, Machine, NIL, Object, Resolved, Run, Value};
use runtime::escape::{Decision, Site, Var};

impl Machine<'_> {
    /// What the object that a value points to holds.
    pub(super) fn target(&mut self, value: Value) -> Cells {
        match value {
            Value::Pointer(id, None) => {
                let captured = self.objects[id].closure.clone().unwrap_or_default().1;
                match captured.is_empty() {
                    true => self.objects[id].cells,
                    false => captured[self.rng.usize(..captured.len())],
                }
            }
            Value::Pointer(id, Some(inside)) => {
                let value = self.objects[id].cells[inside];
                self.spread(value)
            }
            _ => NIL,
        }
    }

    pub(super) fn address(&self, name: Name, inside: Option<usize>) -> Value {
        let frame = self.frames.last().expect("a statement runs in a frame");
        frame.variables[name].map_or(Value::Nil, |id| Value::Pointer(id, inside))
    }

    /// A fresh object for a variable.
    pub(super) fn declare(&mut self, function: usize, name: Name) {
        let site = self.lowered.vars[function][name].map(Var::site);
        let id = self.make(site.expect("lowered before it runs"), None);
        self.frame().variables[name] = Some(id);
    }

    pub(super) fn make(&mut self, site: Site, closure: Option<(usize, Vec<Cells>)>) -> Id {
        let on_heap = match (self.decide)(site) {
            Decision::Heap => true,
            Decision::Frame => false,
            Decision::FrameUpTo(_) => self.rng.bool(),
        };
        let id = self.objects.len();
        self.objects.push(Object {
            cells: NIL,
            closure,
            on_heap,
            dead: false,
            site: Some(site),
        });
        if !on_heap {
            let scopes = &mut self.frame().scopes;
            scopes.last_mut().expect("a frame has a scope").push(id);
        }
        id
    }

    pub(super) fn assign(&mut self, name: Name, cells: Cells) -> Run<()> {
        match self.frame().variables[name] {
            Some(id) => self.put_all(id, cells),
            None => Ok(()),
        }
    }

    pub(super) fn put_all(&mut self, id: Id, cells: Cells) -> Run<()> {
        for (index, value) in cells.into_iter().enumerate() {
            self.put(id, index, value)?;
        }
        Ok(())
    }

    /// Writes a cell; a closure's record is not written.
    pub(super) fn put(&mut self, id: Id, index: usize, value: Value) -> Run<()> {
        if self.objects[id].closure.is_none() {
            self.may_hold(id, value)?;
            self.objects[id].cells[index] = value;
        }
        Ok(())
    }

    pub(super) fn may_hold(&self, holder: Id, value: Value) -> Run<()> {
        if self.objects[holder].on_heap {
            return self.may_be_on_heap(value);
        }
        Ok(())
    }

    pub(super) fn may_be_on_heap(&self, value: Value) -> Run<()> {
        match value {
            Value::Pointer(id, _) if !self.objects[id].on_heap => {
                Err(self.fault(id, "a pointer to a frame is stored on the heap"))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn publish(&mut self, value: Value) -> Run<()> {
        self.may_be_on_heap(value)?;
        let index = self.rng.usize(..16);
        match self.globals.get_mut(index) {
            Some(global) => *global = value,
            None => self.globals.push(value),
        }
        Ok(())
    }

    pub(super) fn global(&mut self) -> Value {
        match self.globals.len() {
            0 => Value::Nil,
            length => self.globals[self.rng.usize(..length)],
        }
    }

    pub(super) fn spread_global(&mut self) -> Cells {
        let value = self.global();
        self.spread(value)
    }

    /// A single value in one or more cells.
    pub(super) fn spread(&mut self, value: Value) -> Cells {
        let mut cells = NIL;
        cells[self.rng.usize(..FIELDS)] = value;
        if self.rng.bool() {
            cells = [value; FIELDS];
        }
        cells
    }

    pub(super) fn variable(&mut self, name: Name) -> Cells {
        let id = self.frame().variables[name];
        id.map_or(NIL, |id| self.objects[id].cells)
    }

    pub(super) fn maybe(&mut self, name: Option<Name>) -> Cells {
        name.map_or(NIL, |name| self.variable(name))
    }

    pub(super) fn pick(&mut self, name: Name) -> Value {
        let cells = self.variable(name);
        self.pick_of(cells)
    }

    /// One of the cells that hold something.
    pub(super) fn pick_of(&mut self, cells: Cells) -> Value {
        let full: Vec<Value> = cells.into_iter().filter(|v| *v != Value::Nil).collect();
        match full.len() {
            0 => Value::Nil,
            length => full[self.rng.usize(..length)],
        }
    }

    pub(super) fn frame(&mut self) -> &mut Frame {
        self.frames.last_mut().expect("a statement runs in a frame")
    }

    /// What lived in the innermost scope is dead.
    pub(super) fn end_scope(&mut self) -> Run<()> {
        for id in self.frame().scopes.pop().unwrap_or_default() {
            self.objects[id].dead = true;
        }
        Ok(())
    }

    /// Nothing that can still be seen points to the dead.
    pub(super) fn check(&self) -> Run<()> {
        let frames = self.frames.iter().flat_map(|frame| {
            let variables = frame.variables.iter().flatten();
            let scopes = frame.scopes.iter().flatten();
            let ids = variables
                .chain(scopes)
                .filter(|id| !self.objects[**id].dead);
            ids.map(|id| Value::Pointer(*id, None))
                .chain(pending(&frame.deferred))
        });
        let flying = self.flying.iter().flatten().flatten().copied();
        let mut reached: Vec<Value> = frames.chain(flying).chain(pending(&self.spawned)).collect();
        reached.extend(&self.globals);
        let mut seen = vec![false; self.objects.len()];
        while let Some(value) = reached.pop() {
            let Value::Pointer(id, _) = value else {
                continue;
            };
            if std::mem::replace(&mut seen[id], true) {
                continue;
            }
            let object = &self.objects[id];
            if object.dead {
                return Err(self.fault(id, "a pointer to a frame is left when it has gone"));
            }
            reached.extend(object.cells);
            if let Some((_, captured)) = &object.closure {
                reached.extend(captured.iter().flatten());
            }
        }
        Ok(())
    }

    pub(super) fn fault(&self, id: Id, what: &str) -> Fault {
        Fault {
            site: self.objects[id].site.expect("every object has a site"),
            what: what.to_owned(),
        }
    }
}

/// What calls that have yet to happen hold.
fn pending(calls: &[(Resolved, Vec<Cells>)]) -> impl Iterator<Item = Value> {
    calls.iter().flat_map(|(callee, arguments)| {
        let closure = match callee {
            Resolved::Closure(id) => Some(Value::Pointer(*id, None)),
            _ => None,
        };
        arguments.iter().flatten().copied().chain(closure)
    })
}
