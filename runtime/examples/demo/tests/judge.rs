//! The judge judged: right answers pass, every near miss is refused.

use crate::adjacency::FAR;
use crate::data::Record;
use crate::oracle::{Member, Oracle, Work};
use crate::query::{Kind, Query};

fn records(count: usize, edges: &[(u32, u32)], recommends: &[(u32, u32)]) -> Vec<Record> {
    let of = |edges: &[(u32, u32)], id: usize| {
        let mine = edges.iter().filter(|(from, _)| *from as usize == id);
        mine.map(|(_, to)| *to).collect()
    };
    let record = |id| Record {
        name: format!("p{id}"),
        version: "1.0".to_owned(),
        section: "main".to_owned(),
        installed_kib: 1,
        depends: of(edges, id),
        recommends: of(recommends, id),
    };
    (0..count).map(record).collect()
}

/// Distances between all pairs, by relaxing until nothing changes.
fn distances(records: &[Record], recommends: bool) -> Vec<Vec<u32>> {
    let count = records.len();
    let mut far = vec![vec![FAR; count]; count];
    for (id, record) in records.iter().enumerate() {
        far[id][id] = 0;
        let more = if recommends {
            &record.recommends[..]
        } else {
            &[]
        };
        for target in record.depends.iter().chain(more) {
            far[id][*target as usize] = far[id][*target as usize].min(1);
        }
    }
    for via in 0..count {
        for from in 0..count {
            for to in 0..count {
                let sum = far[from][via].saturating_add(far[via][to]);
                far[from][to] = far[from][to].min(sum);
            }
        }
    }
    far
}

fn judge(oracle: &Oracle, query: &Query, answer: &[(u32, u32)]) -> Result<(), String> {
    let names: Vec<String> = answer.iter().map(|(id, _)| format!("p{id}")).collect();
    let members = answer.iter().zip(&names).map(|((id, depth), name)| Member {
        id: *id,
        name,
        version: "1.0+r3",
        serial: 3,
        depth: *depth,
    });
    oracle.check(query, members, &mut Work::default())
}

/// The right answer from the distances, and with it every answer with one member less, one
/// more or one at another distance: the first must pass and the others must not.
#[test]
fn agrees_with_all_pairs_on_random_graphs_and_refuses_near_misses() {
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..60 {
        let count = random.usize(1..9);
        let mut edges = |n: usize| -> Vec<(u32, u32)> {
            let mut id = || random.u32(0..count as u32);
            (0..n).map(|_| (id(), id())).collect()
        };
        let records = records(count, &edges(count), &edges(count / 2));
        let oracle = Oracle::new(&records, count);
        for recommends in [false, true] {
            let far = distances(&records, recommends);
            for from in 0..count as u32 {
                sets(&oracle, &far, from, recommends);
            }
        }
    }
}

fn sets(oracle: &Oracle, far: &[Vec<u32>], from: u32, recommends: bool) {
    let at = from as usize;
    for kind in [Kind::Closure, Kind::Dependents, Kind::Cycle] {
        let query = Query {
            kind,
            from,
            to: 0,
            recommends,
        };
        let answer: Vec<(u32, u32)> = (0..far.len())
            .filter_map(|other| {
                let (there, back) = (far[at][other], far[other][at]);
                let depth = match kind {
                    Kind::Closure => there,
                    Kind::Dependents => back,
                    _ if there == FAR || back == FAR => FAR,
                    _ => 0,
                };
                (depth != FAR).then_some((other as u32, depth))
            })
            .collect();
        assert_eq!(judge(oracle, &query, &answer), Ok(()));
        assert!(judge(oracle, &query, &answer[1..]).is_err());
        let twice = [&answer[..], &answer[..1]].concat();
        assert!(judge(oracle, &query, &twice).is_err());
        for other in 0..far.len() as u32 {
            if !answer.iter().any(|(id, _)| *id == other) {
                let more = [&answer[..], &[(other, 1)]].concat();
                assert!(judge(oracle, &query, &more).is_err());
            }
        }
        if kind != Kind::Cycle {
            let mut later = answer.clone();
            later[0].1 += 1;
            assert!(judge(oracle, &query, &later).is_err());
        }
    }
}

#[test]
fn a_path_must_exist_be_made_of_edges_and_be_shortest() {
    let records = records(5, &[(0, 1), (1, 2), (2, 3), (0, 4)], &[(0, 2)]);
    let oracle = Oracle::new(&records, 5);
    let path = |recommends, to, ids: &[u32]| {
        let answer: Vec<(u32, u32)> = ids.iter().copied().zip(0..).collect();
        judge(
            &oracle,
            &Query {
                kind: Kind::Path,
                from: 0,
                to,
                recommends,
            },
            &answer,
        )
    };
    assert_eq!(path(false, 3, &[0, 1, 2, 3]), Ok(()));
    assert_eq!(path(true, 3, &[0, 2, 3]), Ok(()));
    assert_eq!(path(false, 0, &[0]), Ok(()));
    assert!(
        path(true, 3, &[0, 1, 2, 3]).is_err(),
        "longer than the shortest"
    );
    assert!(
        path(false, 3, &[0, 2, 3]).is_err(),
        "by an edge that does not count"
    );
    assert!(path(false, 3, &[0, 1, 2]).is_err(), "stops before the end");
    assert!(path(false, 3, &[1, 2, 3]).is_err(), "starts elsewhere");
    assert!(path(false, 3, &[]).is_err(), "says there is none");
    let none = Query {
        kind: Kind::Path,
        from: 3,
        to: 0,
        recommends: true,
    };
    assert_eq!(judge(&oracle, &none, &[]), Ok(()));
    assert!(judge(&oracle, &none, &[(3, 0), (0, 1)]).is_err());
}

#[test]
fn an_object_whose_fields_do_not_belong_together_is_refused() {
    let oracle = Oracle::new(&records(2, &[], &[]), 2);
    let query = Query {
        kind: Kind::Closure,
        from: 1,
        to: 0,
        recommends: false,
    };
    let good = Member {
        id: 1,
        name: "p1",
        version: "1.0",
        serial: 0,
        depth: 0,
    };
    let judge = |member| oracle.check(&query, [member].into_iter(), &mut Work::default());
    assert_eq!(judge(good), Ok(()));
    assert_eq!(
        judge(Member {
            version: "1.0+r12",
            serial: 12,
            ..good
        }),
        Ok(())
    );
    assert!(judge(Member { name: "p0", ..good }).is_err());
    assert!(judge(Member { id: 2, ..good }).is_err());
    assert!(judge(Member { serial: 1, ..good }).is_err());
    assert!(
        judge(Member {
            version: "1.0+r12",
            serial: 11,
            ..good
        })
        .is_err()
    );
    assert!(
        judge(Member {
            version: "2.0",
            ..good
        })
        .is_err()
    );
}

#[test]
fn a_prefix_forgets_the_edges_that_leave_it() {
    let records = records(3, &[(0, 1), (0, 2), (2, 0), (1, 0)], &[]);
    let oracle = Oracle::new(&records, 2);
    assert_eq!((oracle.len(), oracle.cyclic()), (2, (1, 2)));
    let query = Query {
        kind: Kind::Closure,
        from: 0,
        to: 0,
        recommends: false,
    };
    assert_eq!(judge(&oracle, &query, &[(0, 0), (1, 1)]), Ok(()));
}
