//! The pacer against simulated programs, and what it promises them: the heap keeps to its goal, the
//! collector to the price, and nobody assists who need not.
//!
//! With `--nocapture` each prints its figures.
#![cfg(not(heapwright_loom))]

mod limits;
mod sim;

use std::time::Duration;

use runtime::pacer::{Cycle, Pacer, Policy, Progress, Settings};
use sim::{GIB, MIB, Program, Row, collector_share, noise, play, worst_assist, worst_peak};

fn report(name: &str, program: &Program, rows: &[Row]) {
    println!(
        "{name:28} {:4} cycles  peak/goal {:.3}  assists {:4.1} %  all {:4.1} %  goal {:9.1} MiB",
        rows.len(),
        worst_peak(rows),
        worst_assist(rows) * 100.0,
        collector_share(rows, program.settings.processors) * 100.0,
        rows.last()
            .map_or(0.0, |row| row.plan.goal_bytes as f64 / MIB),
    );
}

/// The processor time of marking as a multiple of what the percentage promises.
fn price(program: &Program, rows: &[Row], percent: u32) -> f64 {
    let promised: f64 = rows
        .iter()
        .map(|row| {
            let marking = row.cycle.marked_bytes as f64 / program.speed;
            let headroom = row.cycle.live_bytes as f64 * f64::from(percent) / 100.0;
            marking * row.cycle.allocated_bytes as f64 / headroom
        })
        .sum();
    let paid: f64 = rows.iter().map(|r| r.cycle.mark_cpu.as_secs_f64()).sum();
    paid / promised
}

/// Kills the mutants `no-runway`, `trigger-at-once` and `markers-not-counted`.
#[test]
fn steady() {
    for processors in [1, 2, 4, 16] {
        for percent in [50, 100, 400] {
            let mut program = Program::new(processors);
            program.settings.policy = Policy::Percent(percent);
            program.rate = Box::new(move |_| 50.0 * MIB * processors as f64);
            let rows = &play(&program, 1e9, 40)[15..];
            let name = format!("steady, {processors} cores, {percent} %");
            report(&name, &program, rows);
            assert_eq!(worst_assist(rows), 0.0, "{name}");
            assert!(worst_peak(rows) <= 1.0, "{name}");
            let price = price(&program, rows, percent);
            assert!((0.95..1.1).contains(&price), "{name}: price {price}");
        }
    }
}

/// The markers get what was promised, neither rounded up nor down.
#[test]
fn marking_takes_a_quarter() {
    for processors in 1..=16 {
        let mut program = Program::new(processors);
        program.rate = Box::new(move |_| 20.0 * MIB * processors as f64);
        let rows = &play(&program, 1e9, 12)[6..];
        for row in rows {
            let (plan, share) = (row.plan, row.cycle.mark_share(processors));
            let by_threads = plan.markers() as f64 * plan.duty() / processors as f64;
            assert!((by_threads - 0.25).abs() < 1e-9, "{processors}: {plan:?}");
            assert!(plan.duty() > 0.0 && plan.duty() <= 1.0);
            assert!((0.23..=0.251).contains(&share), "{processors}: {share}");
        }
    }
}

/// A quarter of two processors cannot mark in time what is allocated here; half can, and nobody
/// assists. Kills the mutant `quarter-only`.
#[test]
fn markers_come_before_assists() {
    let mut program = Program::new(2);
    program.rate = Box::new(|_| 400.0 * MIB);
    let rows = &play(&program, 1e9, 30)[10..];
    report("heavy, 2 cores", &program, rows);
    for row in rows {
        assert!(row.plan.background_cores > 0.55, "{:?}", row.plan);
        assert!(row.plan.background_cores <= 1.0, "{:?}", row.plan);
    }
    assert_eq!(worst_assist(rows), 0.0);
    assert!(worst_peak(rows) <= 1.0);
}

/// One marker that takes a whole processor where it was to take half, because one is idle.
#[test]
fn idle_processors_are_used() {
    let mut program = Program::new(2);
    program.threads = 1;
    program.granted = 2.0;
    program.rate = Box::new(|_| 100.0 * MIB);
    let rows = &play(&program, 1e9, 20)[8..];
    report("one mutator, idle core", &program, rows);
    assert_eq!(worst_assist(rows), 0.0);
    assert!(worst_peak(rows) <= 1.0);
    // Does not begin twice as early as it must: 64 MiB at a whole processor are 6.4 MiB of runway.
    for row in rows {
        let runway = row.plan.goal_bytes - row.plan.trigger_bytes;
        assert!(runway as f64 <= 8.5 * MIB, "{runway}");
    }
}

/// Markers that get half of what was planned, because the machine is busy with something else.
/// Kills the mutant `planned-gain`.
#[test]
fn a_busy_machine_is_learned() {
    let mut program = Program::new(4);
    program.granted = 0.5;
    program.rate = Box::new(|_| 100.0 * MIB);
    let rows = &play(&program, 1e9, 20)[8..];
    report("markers at half speed", &program, rows);
    assert_eq!(worst_assist(rows), 0.0);
    assert!(worst_peak(rows) <= 1.0);
}

/// Markers that now and then begin 4 ms late, and the mutators do not jump in: within the credit
/// they trust them to catch up. Kills the mutant `always-in-debt`.
#[test]
fn late_markers() {
    let mut program = Program::new(4);
    program.start_delay = Box::new(|t| if t % 4.0 < 0.4 { 4e-3 } else { 150e-6 });
    let rows = &play(&program, 1e9, 60)[8..];
    report("late markers", &program, rows);
    let late = rows.iter().filter(|row| row.cycle.mark_share(4) < 0.24);
    assert!(late.count() >= 4);
    assert_eq!(worst_assist(rows), 0.0);
    assert!(worst_peak(rows) <= 1.0);
}

/// Allocation eight times as fast within ten seconds.
#[test]
fn ramp() {
    let mut program = Program::new(4);
    program.rate = Box::new(|t| 50.0 * MIB * (1.0 + 0.7 * t).min(8.0));
    let rows = &play(&program, 12.0, 1000)[3..];
    report("ramp", &program, rows);
    assert!(worst_peak(rows) <= 1.01);
    assert!(worst_assist(rows) < 0.03);
}

/// A program that keeps whatever it allocates. Kills the mutant `growth-unexpected`.
#[test]
fn loading() {
    let mut program = Program::new(4);
    program.rate = Box::new(|_| 100.0 * MIB);
    program.live = Box::new(|t| (8.0 + 99.0 * t) * MIB);
    let rows = &play(&program, 40.0, 1000)[2..];
    report("loading", &program, rows);
    assert!(rows.len() >= 7);
    assert_eq!(worst_assist(rows), 0.0);
    assert!(worst_peak(rows) <= 1.0);
}

/// Six times the allocation from one moment on: one cycle is surprised.
/// Kills the mutant `never-assists`.
#[test]
fn step_of_the_rate() {
    let mut program = Program::new(4);
    program.rate = Box::new(|t| if t < 3.0 { 50.0 * MIB } else { 300.0 * MIB });
    let rows = play(&program, 1e9, 40);
    let Some(step) = rows.iter().position(|row| row.ended > 3.0) else {
        panic!("no cycle after the step");
    };
    report("step of the rate: at it", &program, &rows[step..=step]);
    report("step of the rate: after", &program, &rows[step + 1..]);
    assert!(worst_peak(&rows[step..]) <= 1.02);
    assert_eq!(worst_assist(&rows[step + 1..]), 0.0);
}

/// An 8 GiB heap, far past its goal with all the marking to do: 1 KiB owes 0.3 ms and not the
/// whole heap. Kills the mutant `assists-without-bound`.
#[test]
fn a_late_cycle_is_bearable() {
    let mut pacer = Pacer::new(Settings::new(4));
    // 1 GiB a second is marked; 3 threads allocated 75 MiB a second beside one marker.
    pacer.end_cycle(Cycle {
        live_bytes: 8 << 30,
        marked_bytes: 8 << 30,
        mark_cpu: Duration::from_secs(8),
        wall: Duration::from_secs(8),
        heap_at_trigger_bytes: 15 << 30,
        heap_at_end_bytes: (15 << 30) + (600 << 20),
        allocated_bytes: 8 << 30,
        since_last: Duration::from_secs(100),
        mutators: 4,
        ..Cycle::default()
    });
    let ratio = pacer.revise(Progress {
        heap_at_trigger_bytes: 16 << 30,
        heap_bytes: 24 << 30,
        since_last: Duration::from_secs(100),
        mutators: 4,
        ..Progress::default()
    });
    // A thread allocated 25 MiB a second, so that 1 KiB took 39 µs.
    let seconds = ratio * 1024.0 / GIB;
    let usual = 1024.0 / (25.0 * MIB);
    assert!((6.9..7.1).contains(&(seconds / usual)), "{seconds}");
}

/// Four times the live heap from one moment on: the goal follows within two cycles.
#[test]
fn step_of_the_live_heap() {
    let mut program = Program::new(4);
    program.rate = Box::new(|_| 200.0 * MIB);
    program.live = Box::new(|t| if t < 3.0 { 64.0 * MIB } else { 256.0 * MIB });
    let rows = play(&program, 1e9, 30);
    let Some(step) = rows.iter().position(|row| row.ended > 3.0) else {
        panic!("no cycle after the step");
    };
    // In the cycle at the step everything lives, so that twice the goal may be needed.
    report("step of the live heap: at it", &program, &rows[step..=step]);
    report("step of the live heap: after", &program, &rows[step + 4..]);
    assert!(worst_peak(&rows[step..]) <= 2.0);
    assert_eq!(worst_assist(&rows[step + 4..]), 0.0);
    assert!(worst_peak(&rows[step + 4..]) <= 1.0);
}

/// The rate changes by up to 40 percent both ways every 20 ms. Kills the mutant `no-memory`.
#[test]
fn jitter() {
    let mut program = Program::new(4);
    program.rate = Box::new(|t| 200.0 * MIB * (0.6 + 0.8 * noise((t / 0.02) as u64)));
    let rows = &play(&program, 1e9, 200)[10..];
    report("jitter", &program, rows);
    assert!(worst_peak(rows) <= 1.01);
    let assists = rows.iter().filter(|row| row.assist_share > 0.0).count();
    let mean = rows.iter().map(|row| row.assist_share).sum::<f64>() / rows.len() as f64;
    println!(
        "    {assists} of {} cycles with assists, {:.2} % of the time",
        rows.len(),
        mean * 100.0
    );
    assert!(assists * 10 <= rows.len(), "{assists}");
    assert!(mean < 0.002, "{mean}");
}

/// 200 GiB, 2 GiB a second.
#[test]
fn huge() {
    let mut program = Program::new(16);
    program.live = Box::new(|_| 200.0 * GIB);
    program.rate = Box::new(|_| 2.0 * GIB);
    let rows = &play(&program, 1e9, 12)[2..];
    report("huge", &program, rows);
    assert_eq!(worst_assist(rows), 0.0);
    assert!(worst_peak(rows) <= 1.0);
}

/// 64 KiB live, 1 GiB a second: however small the percentage makes the heap, cycles cost little.
/// Kills the mutant `no-floor`.
#[test]
fn tiny() {
    for processors in [1, 2, 8] {
        for percent in [0, 10, 100] {
            let mut program = Program::new(processors);
            program.settings.policy = Policy::Percent(percent);
            program.live = Box::new(|_| 65536.0);
            program.rate = Box::new(|_| GIB);
            let rows = &play(&program, 2.0, 1_000_000)[20..];
            let name = format!("tiny, {processors} cores, {percent} %");
            report(&name, &program, rows);
            assert_eq!(worst_assist(rows), 0.0, "{name}");
            assert!(collector_share(rows, processors) < 0.035, "{name}");
            // Within reason.
            assert!(rows.iter().all(|row| row.peak < 40.0 * MIB), "{name}");
        }
    }
}

/// Bytes outside the heap count as if they were inside. Kills the mutant `external-forgotten`.
#[test]
fn external() {
    let mut program = Program::new(4);
    program.live = Box::new(|_| 4.0 * MIB);
    program.external = 15.0;
    program.rate = Box::new(|_| 10.0 * MIB);
    let rows = &play(&program, 1e9, 30)[10..];
    report("external", &program, rows);
    assert_eq!(worst_assist(rows), 0.0);
    assert!(worst_peak(rows) <= 1.0);
    // 64 MiB live in all, and the goal is not far above twice that.
    for row in rows {
        let goal = row.plan.goal_bytes as f64 / MIB;
        assert!((128.0..140.0).contains(&goal), "{goal}");
    }
}

/// A minute without allocation, and then as before.
#[test]
fn idle() {
    let mut program = Program::new(4);
    program.rate = Box::new(|t| {
        if (3.0..63.0).contains(&t) {
            0.0
        } else {
            200.0 * MIB
        }
    });
    let rows = play(&program, 70.0, 1000);
    let asleep = rows.iter().filter(|row| (3.2..63.0).contains(&row.ended));
    assert_eq!(asleep.count(), 0, "nothing is allocated, nothing collected");
    report("idle", &program, &rows[3..]);
    assert!(worst_peak(&rows[3..]) <= 1.0);
    assert_eq!(worst_assist(&rows[3..]), 0.0);
}

/// The price's headroom is the cheapest, as trying others shows; and what is paid for marking is
/// what is paid for memory. Kills the mutant `price-by-percent`.
#[test]
fn price_of_memory() {
    let cores_per_gib = 0.13;
    for (live, rate) in [(0.1, 1.0), (1.0, 1.0), (10.0, 0.1), (1.0, 0.01)] {
        let run = |policy| {
            let mut program = Program::new(16);
            program.settings.policy = policy;
            program.live = Box::new(move |_| live * GIB);
            program.rate = Box::new(move |_| rate * GIB);
            let rows = play(&program, 1e9, 14);
            let rows = &rows[6..];
            if matches!(policy, Policy::Price { .. }) {
                assert_eq!(worst_assist(rows), 0.0);
            }
            let seconds: f64 = rows.iter().map(|row| row.period).sum();
            let cores: f64 = rows.iter().map(|row| row.collector_cpu).sum::<f64>() / seconds;
            // What the heap holds beyond what lives, at its peak.
            let headroom = rows.iter().map(|row| row.peak).fold(0.0, f64::max) / GIB - live;
            (cores, headroom)
        };
        let (cores, headroom) = run(Policy::Price { cores_per_gib });
        let cost = cores + cores_per_gib * headroom;
        println!(
            "price: live {live} GiB, {rate} GiB/s: headroom {headroom:.2} GiB, {cores:.3} cores"
        );
        assert!(
            (cores / (cores_per_gib * headroom) - 1.0).abs() < 0.2,
            "{cores} {headroom}"
        );
        let expected = (live * rate / cores_per_gib).sqrt();
        assert!((headroom / expected - 1.0).abs() < 0.2, "{headroom}");
        for percent in [10, 30, 100, 300, 1000, 3000] {
            let (cores, headroom) = run(Policy::Percent(percent));
            let other = cores + cores_per_gib * headroom;
            assert!(cost < other * 1.05, "{percent} %: {other} < {cost}");
        }
    }
}

/// Whatever clocks and counters say, a plan keeps its order and a ratio is a number.
#[test]
fn nonsense_is_survived() {
    let mut draws = 0;
    let mut draw = |max: f64| {
        draws += 1;
        match (noise(draws) * 8.0) as u32 {
            0 => 0.0,
            1 => max,
            _ => max.powf(noise(draws + 1_000_000)),
        }
    };
    let huge = usize::MAX as f64;
    for _ in 0..2_000 {
        let mut settings = Settings::new(draw(100.0) as usize + 1);
        settings.policy = match draw(10.0) as u32 {
            0 => Policy::Off,
            1..=4 => Policy::Percent(draw(f64::from(u32::MAX)) as u32),
            _ => Policy::Price {
                cores_per_gib: draw(1e9) + 1e-9,
            },
        };
        settings.limit_bytes = (draw(4.0) > 2.0).then(|| draw(huge) as usize);
        settings.cycle_cost = Duration::from_nanos(draw(1e10) as u64);
        let mut pacer = Pacer::new(settings);
        for _ in 0..8 {
            let mut bytes = || draw(huge) as usize;
            let (live_bytes, external_bytes) = (bytes() / 2, bytes() / 2);
            let mut cycle = Cycle {
                live_bytes,
                external_bytes,
                marked_bytes: bytes(),
                heap_at_trigger_bytes: bytes(),
                heap_at_end_bytes: bytes(),
                allocated_bytes: bytes(),
                overhead_bytes: bytes(),
                ..Cycle::default()
            };
            cycle.mark_cpu = Duration::from_nanos(draw(1e19) as u64);
            cycle.assist_cpu = Duration::from_nanos(draw(1e19) as u64);
            cycle.wall = Duration::from_nanos(draw(1e19) as u64);
            cycle.since_last = Duration::from_nanos(draw(1e19) as u64);
            cycle.mutators = draw(1e6) as usize;
            let plan = pacer.end_cycle(cycle);
            let live = live_bytes.saturating_add(external_bytes);
            assert!(plan.goal_bytes >= live, "{plan:?}");
            // In floating point, where a unit in the last place may be lost.
            let order = [live, plan.trigger_bytes, plan.assist_from_bytes()];
            if plan.trigger_bytes < usize::MAX {
                for pair in order.windows(2) {
                    assert!(pair[0] as f64 <= pair[1] as f64 * (1.0 + 1e-12), "{plan:?}");
                }
                assert!(order[2] as f64 <= plan.goal_bytes as f64 * (1.0 + 1e-12) + 1.0);
            }
            let all = settings.processors as f64;
            assert!(plan.background_cores > 0.0 && plan.background_cores <= 0.501 * all);
            let ratio = pacer.revise(Progress {
                heap_at_trigger_bytes: draw(huge) as usize,
                heap_bytes: draw(huge) as usize,
                marked_bytes: draw(huge) as usize,
                assisted_bytes: draw(huge) as usize,
                mark_cpu: Duration::from_nanos(draw(1e19) as u64),
                assist_cpu: Duration::from_nanos(draw(1e19) as u64),
                since_last: Duration::from_nanos(draw(1e19) as u64),
                mutators: draw(1e6) as usize,
            });
            assert!(ratio.is_finite() && ratio >= 0.0, "{ratio}");
        }
    }
}

/// A cycle during which nothing was allocated says nothing about rates; what was known stays.
#[test]
fn forced_cycles_teach_nothing() {
    let mut pacer = Pacer::new(Settings::new(4));
    let mut cycle = Cycle {
        live_bytes: 64 << 20,
        marked_bytes: 64 << 20,
        mark_cpu: Duration::from_millis(64),
        wall: Duration::from_millis(64),
        heap_at_trigger_bytes: 120 << 20,
        heap_at_end_bytes: 128 << 20,
        allocated_bytes: 64 << 20,
        since_last: Duration::from_millis(512),
        mutators: 4,
        ..Cycle::default()
    };
    let before = (0..60).map(|_| pacer.end_cycle(cycle)).last();
    cycle.heap_at_end_bytes = cycle.heap_at_trigger_bytes;
    for _ in 0..10 {
        assert_eq!(Some(pacer.end_cycle(cycle)), before);
    }
}

/// Settings count at once, without a cycle.
#[test]
fn settings_count_at_once() {
    let mut settings = Settings::new(2);
    let mut pacer = Pacer::new(settings);
    let at_100 = pacer.plan();
    assert_eq!(at_100.goal_bytes, 4 << 20);
    assert!(at_100.trigger_bytes < at_100.goal_bytes);
    settings.policy = Policy::Percent(400);
    assert_eq!(pacer.set(settings).goal_bytes, 16 << 20);
    settings.policy = Policy::Off;
    assert_eq!(pacer.set(settings).trigger_bytes, usize::MAX);
    settings.limit_bytes = Some(100 << 20);
    assert_eq!(pacer.set(settings).goal_bytes, 97 << 20);
    assert_eq!(pacer.plan().goal_bytes, 97 << 20);
}

#[test]
#[should_panic(expected = "`Settings::processors` must not be zero")]
fn no_processor_is_misuse() {
    Pacer::new(Settings::new(0));
}

#[test]
#[should_panic(expected = "`Policy::Price` must be above zero")]
fn no_price_is_misuse() {
    let mut settings = Settings::new(1);
    settings.policy = Policy::Price { cores_per_gib: 0.0 };
    Pacer::new(settings);
}
