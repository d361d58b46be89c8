//! The graph of a batch: who may hold a pointer to what.
//!
//! **Objects** are what a pointer can point to: a site; the *heap*, which stands for every object
//! that has escaped and for all that unknown code knows; a function; and for each parameter a chain
//! of *symbols*, for what it points to, for what that points to, and so on up to
//! [`Derefs::LAST`] dereferences, where the last stands for all that follow. Symbols are how
//! dereference counts come out of the graph: a result that holds a parameter's second symbol is
//! what one dereference of it yields.
//!
//! **Nodes** hold sets of objects. An object has one for what was written to it as a whole (`any`),
//! one for each field, and one for all that can be read from it (`all`): a field's reader sees the
//! field and `any`, a writer of the whole writes `any`, a reader of the whole reads `all`. Fields
//! of which an address was taken are one: each flows into `any`.
//!
//! **Uses** of a node say what happens to each object that it comes to hold: it *flows* on, it is
//! *loaded* from, *stored* to, has a pointer *inside* taken, or is *called*. The last four become
//! flows between the object's own nodes as soon as the object is known. This is inclusion-based
//! points-to analysis (Andersen, 1994) with fields (Pearce, Kelly and Hankin, 2007), solved by
//! propagating differences, where Go's `cmd/compile/internal/escape` finds shortest paths by
//! dereferences: ADR 15 says why. A member remembers the node and the reason that it came by, and
//! since the first reason wins, reasons form a tree, and each explanation is finite.
//!
//! Two parameters may lead to one object, and their symbols do not say so. They need not: a local
//! site that is stored through a symbol has escaped; what was a parameter's is named in the
//! summary, and the caller, whose graph knows the object, has all stores and loads flow through it.

use std::collections::{HashMap, HashSet, VecDeque};

use super::flow::{Field, Position};
use super::summary::Derefs;

pub(super) type NodeId = u32;
pub(super) type ObjectId = u32;
pub(super) type WhyId = u32;

/// No node: where a chain of reasons begins.
pub(super) const NOWHERE: NodeId = u32::MAX;
/// The node of all that has escaped.
pub(super) const ESCAPED: NodeId = 0;
/// The object that stands for all that has escaped, and all that is not known.
pub(super) const HEAP: ObjectId = 0;

/// How long a node's content lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// It is a step between others, or decided elsewhere.
    Loose,
    /// As long as a round of the innermost of `depth` loops, or the function.
    Frame { function: u32, depth: u32 },
    /// Longer than any frame of the function.
    Beyond { function: u32 },
}

/// What a node is, for explanations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    Place { function: u32, place: u32 },
    Field { function: u32, place: u32 },
    Memory { function: u32, input: u32 },
    Result { function: u32, index: u32 },
    Heap,
    Step,
}

/// An object's identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Heap,
    Site {
        function: u32,
        place: u32,
        depth: u32,
    },
    /// What input `input` yields after `derefs` dereferences points to.
    Symbol {
        function: u32,
        input: u32,
        derefs: u32,
    },
    Function(u32),
}

/// Why a pointer came to where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Its address was taken, or it was allocated.
    Taken,
    /// It came in by a parameter or a capture.
    Entered,
    Assigned,
    Loaded,
    /// Through the pointer in this place.
    Stored(u32),
    Argument {
        callee: u32,
        index: u32,
    },
    Result {
        callee: u32,
    },
    /// The callee does this with what it is passed as `input`.
    Summary {
        callee: u32,
        input: u32,
    },
    Captured {
        body: u32,
    },
    Deferred,
    Spawned,
    UnknownCall,
    /// Flow `n` of the function tells how.
    Told(u32),
    /// It lies in this object, which is on the heap.
    Content(ObjectId),
    Outlives,
    TooLarge,
}

/// A reason and where it stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Why {
    pub(super) function: u32,
    pub(super) at: Position,
    pub(super) what: What,
}

/// An object that a node holds, the node it came from, and why it did.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    pub(super) object: ObjectId,
    pub(super) from: NodeId,
    pub(super) why: WhyId,
}

/// What happens to each object that a node holds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Use {
    Flow {
        to: NodeId,
        why: WhyId,
    },
    Load {
        to: NodeId,
        field: Option<Field>,
        why: WhyId,
    },
    Store {
        from: NodeId,
        field: Option<Field>,
        why: WhyId,
    },
    Inside,
    Call(u32),
}

#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) life: Life,
    pub(super) name: Name,
    /// In the order in which they came.
    pub(super) members: Vec<Member>,
    /// The members' objects, in order.
    sorted: Vec<ObjectId>,
    /// So many members have been put to every use.
    pub(super) done: usize,
    pub(super) uses: Vec<Use>,
    queued: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) kind: Kind,
    pub(super) any: NodeId,
    pub(super) all: NodeId,
    /// Whether its fields may be told apart.
    split: bool,
    fields: Vec<(Field, NodeId)>,
    /// Whether a pointer into its middle was taken.
    pub(super) merged: bool,
    /// Whether its successor has been put into `all`; of symbols only.
    expanded: bool,
}

/// Nodes, objects, and what is still to be propagated.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) nodes: Vec<Node>,
    pub(super) objects: Vec<Object>,
    pub(super) whys: Vec<Why>,
    pub(super) queue: VecDeque<NodeId>,
    /// Sites that have escaped and whose content has yet to follow.
    pub(super) escaping: VecDeque<ObjectId>,
    flows: HashSet<(NodeId, NodeId)>,
    symbols: HashMap<(u32, u32, u32), ObjectId>,
    /// Attempts to put an object into a node.
    pub(super) steps: u64,
}

impl Graph {
    /// The heap alone.
    pub(super) fn new() -> Graph {
        let mut graph = Graph::default();
        let any = graph.node(Life::Loose, Name::Heap);
        let all = graph.node(Life::Loose, Name::Heap);
        graph.object(Kind::Heap, any, all, false);
        let why = graph.why(u32::MAX, Position::default(), What::Entered);
        graph.insert(all, HEAP, NOWHERE, why);
        graph
    }

    pub(super) fn node(&mut self, life: Life, name: Name) -> NodeId {
        self.nodes.push(Node {
            life,
            name,
            members: Vec::new(),
            sorted: Vec::new(),
            done: 0,
            uses: Vec::new(),
            queued: false,
        });
        (self.nodes.len() - 1) as NodeId
    }

    pub(super) fn object(&mut self, kind: Kind, any: NodeId, all: NodeId, split: bool) -> ObjectId {
        self.objects.push(Object {
            kind,
            any,
            all,
            split,
            fields: Vec::new(),
            merged: false,
            expanded: false,
        });
        (self.objects.len() - 1) as ObjectId
    }

    pub(super) fn why(&mut self, function: u32, at: Position, what: What) -> WhyId {
        self.whys.push(Why { function, at, what });
        (self.whys.len() - 1) as WhyId
    }

    /// The object behind `derefs` dereferences of an input; symbols are made as they are asked for.
    pub(super) fn symbol(&mut self, function: u32, input: u32, derefs: u32) -> ObjectId {
        let derefs = derefs.min(Derefs::LAST);
        if let Some(object) = self.symbols.get(&(function, input, derefs)) {
            return *object;
        }
        let name = Name::Memory { function, input };
        let any = self.node(Life::Beyond { function }, name);
        let all = self.node(Life::Loose, name);
        let kind = Kind::Symbol {
            function,
            input,
            derefs,
        };
        let object = self.object(kind, any, all, false);
        self.symbols.insert((function, input, derefs), object);
        let why = self.why(function, Position::default(), What::Entered);
        self.flow(any, all, why);
        object
    }

    /// The node that a write to the object, or to a field of it, goes to.
    pub(super) fn written(&mut self, object: ObjectId, field: Option<Field>) -> NodeId {
        let Object { any, split, .. } = self.objects[object as usize];
        match field {
            Some(field) if split => self.field(object, field),
            _ => any,
        }
    }

    /// What the object, or a field of it, holds flows to `to`.
    pub(super) fn read(&mut self, object: ObjectId, field: Option<Field>, to: NodeId, why: WhyId) {
        let Object {
            any, all, split, ..
        } = self.objects[object as usize];
        match field {
            Some(field) if split => {
                let node = self.field(object, field);
                self.flow(node, to, why);
                self.flow(any, to, why);
            }
            _ => {
                self.expand(object);
                self.flow(all, to, why);
            }
        }
    }

    /// A symbol's memory holds what its successor stands for.
    fn expand(&mut self, object: ObjectId) {
        let entry = &mut self.objects[object as usize];
        let Kind::Symbol {
            function,
            input,
            derefs,
        } = entry.kind
        else {
            return;
        };
        if !std::mem::replace(&mut entry.expanded, true) {
            let all = entry.all;
            let next = self.symbol(function, input, derefs + 1);
            let why = self.why(function, Position::default(), What::Entered);
            self.insert(all, next, NOWHERE, why);
        }
    }

    fn field(&mut self, object: ObjectId, field: Field) -> NodeId {
        let entry = &self.objects[object as usize];
        if let Some((_, node)) = entry.fields.iter().find(|(known, _)| *known == field) {
            return *node;
        }
        let (any, all, merged) = (entry.any, entry.all, entry.merged);
        let Node { life, name, .. } = self.nodes[any as usize];
        let name = match name {
            Name::Place { function, place } => Name::Field { function, place },
            other => other,
        };
        let node = self.node(life, name);
        self.objects[object as usize].fields.push((field, node));
        let why = self.why(u32::MAX, Position::default(), What::Assigned);
        self.flow(node, all, why);
        if merged {
            self.flow(node, any, why);
        }
        node
    }

    /// A pointer into the middle of the object exists: its fields are one.
    pub(super) fn merge(&mut self, object: ObjectId) {
        let entry = &mut self.objects[object as usize];
        if std::mem::replace(&mut entry.merged, true) {
            return;
        }
        let (any, fields) = (entry.any, entry.fields.clone());
        let why = self.why(u32::MAX, Position::default(), What::Assigned);
        for (_, node) in fields {
            self.flow(node, any, why);
        }
    }

    /// What `from` holds, `to` holds too.
    pub(super) fn flow(&mut self, from: NodeId, to: NodeId, why: WhyId) {
        if from != to && self.flows.insert((from, to)) {
            self.attach(from, Use::Flow { to, why });
        }
    }

    /// Adds a use to a node, and puts to it what the walk has been through already.
    pub(super) fn attach(&mut self, node: NodeId, usage: Use) {
        let entry = &mut self.nodes[node as usize];
        entry.uses.push(usage);
        for index in 0..entry.done {
            let member = self.nodes[node as usize].members[index];
            self.put(node, member, usage);
        }
    }

    /// Puts a member of a node to one of its uses; calls are for the batch, which knows them all
    /// before the walk begins.
    pub(super) fn put(&mut self, node: NodeId, member: Member, usage: Use) {
        match usage {
            Use::Flow { to, why } => self.insert(to, member.object, node, why),
            Use::Load { to, field, why } => self.read(member.object, field, to, why),
            Use::Store { from, field, why } => {
                let to = self.written(member.object, field);
                self.flow(from, to, why);
            }
            Use::Inside => self.merge(member.object),
            Use::Call(_) => {}
        }
    }

    /// Puts an object into a node, unless it is there; keeps what must not outlive a frame from
    /// doing so.
    pub(super) fn insert(&mut self, node: NodeId, object: ObjectId, from: NodeId, why: WhyId) {
        self.steps += 1;
        let entry = &mut self.nodes[node as usize];
        let Err(place) = entry.sorted.binary_search(&object) else {
            return;
        };
        entry.sorted.insert(place, object);
        entry.members.push(Member { object, from, why });
        if !std::mem::replace(&mut entry.queued, true) {
            self.queue.push_back(node);
        }
        let Kind::Site {
            function, depth, ..
        } = self.objects[object as usize].kind
        else {
            return;
        };
        if node == ESCAPED {
            self.escaping.push_back(object);
        } else if self.outlives(node, function, depth) {
            let Why { function, at, .. } = self.whys[why as usize];
            let why = self.why(function, at, What::Outlives);
            self.insert(ESCAPED, object, node, why);
        }
    }

    /// Whether the node's content may live longer than memory in a frame of the function.
    fn outlives(&self, node: NodeId, of: u32, loops: u32) -> bool {
        match self.nodes[node as usize].life {
            Life::Loose => false,
            Life::Frame { function, depth } => function == of && depth < loops,
            Life::Beyond { function } => function == of,
        }
    }

    /// The next node with members that have not been put to use.
    pub(super) fn next(&mut self) -> Option<NodeId> {
        let node = self.queue.pop_front()?;
        self.nodes[node as usize].queued = false;
        Some(node)
    }

    /// How the object came into the node.
    pub(super) fn member(&self, node: NodeId, object: ObjectId) -> Option<Member> {
        let members = &self.nodes[node as usize].members;
        members
            .iter()
            .copied()
            .find(|member| member.object == object)
    }

    /// Whether the node holds the object.
    pub(super) fn holds(&self, node: NodeId, object: ObjectId) -> bool {
        let entry = &self.nodes[node as usize];
        entry.sorted.binary_search(&object).is_ok()
    }
}
