//! A graph as two arrays, and its strongly connected components: the oracle's ground.

/// Not reached; not visited.
pub(crate) const FAR: u32 = u32::MAX;

/// Adjacency: the targets of `v` are `targets[starts[v]..starts[v + 1]]`.
pub(crate) struct Edges {
    starts: Vec<u32>,
    pub(crate) targets: Vec<u32>,
}

impl Edges {
    pub(crate) fn new(count: usize, pairs: &[(u32, u32)]) -> Self {
        let mut starts = vec![0_u32; count + 1];
        for (from, _) in pairs {
            starts[*from as usize + 1] += 1;
        }
        for v in 0..count {
            starts[v + 1] += starts[v];
        }
        let mut next = starts.clone();
        let mut targets = vec![0; pairs.len()];
        for (from, to) in pairs {
            let place = &mut next[*from as usize];
            targets[*place as usize] = *to;
            *place += 1;
        }
        Edges { starts, targets }
    }

    pub(crate) fn of(&self, v: u32) -> &[u32] {
        let v = v as usize;
        &self.targets[self.starts[v] as usize..self.starts[v + 1] as usize]
    }

    pub(crate) fn len(&self) -> usize {
        self.starts.len() - 1
    }
}

/// Tarjan's strongly connected components (1972), without recursion: each package's component,
/// and the sizes.
pub(crate) fn components(edges: &Edges) -> (Vec<u32>, Vec<u32>) {
    let count = edges.len();
    let mut order = vec![FAR; count];
    let mut low = vec![0; count];
    let mut component = vec![FAR; count];
    let mut sizes = Vec::new();
    let (mut stack, mut calls) = (Vec::new(), Vec::new());
    let mut clock = 0;
    for start in 0..count as u32 {
        if order[start as usize] != FAR {
            continue;
        }
        calls.push((start, 0));
        while let Some((v, edge)) = calls.pop() {
            let at = v as usize;
            if edge == 0 {
                (order[at], low[at]) = (clock, clock);
                clock += 1;
                stack.push(v);
            }
            if let Some(target) = edges.of(v).get(edge).copied() {
                calls.push((v, edge + 1));
                if order[target as usize] == FAR {
                    calls.push((target, 0));
                } else if component[target as usize] == FAR {
                    low[at] = low[at].min(order[target as usize]);
                }
                continue;
            }
            if let Some((parent, _)) = calls.last() {
                low[*parent as usize] = low[*parent as usize].min(low[at]);
            }
            if low[at] == order[at] {
                let mut size = 0;
                while let Some(member) = stack.pop() {
                    component[member as usize] = sizes.len() as u32;
                    size += 1;
                    if member == v {
                        break;
                    }
                }
                sizes.push(size);
            }
        }
    }
    (component, sizes)
}
