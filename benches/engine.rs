//! The event list under the hold model: take the next event, schedule another a random span later.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use kilopod::chance::{Chance, Component};
use kilopod::engine::Agenda;
use kilopod::units::SimDuration;

/// As large as the run's own events.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "its size is what matters")]
struct Payload {
    kind: u32,
    node: u32,
    call: [u32; 3],
}

fn hold(criterion: &mut Criterion) {
    let chance = Chance::new(1, 0);
    // Spans drawn beforehand, so that the list alone is timed.
    let spans: Vec<SimDuration> = (0..65_536)
        .map(|draw| SimDuration::from_secs_f64(10.0 * chance.uniform(Component::Boot, 0, draw)))
        .collect();
    let mut group = criterion.benchmark_group("hold");
    for pending in [1_000usize, 10_000, 1_000_000] {
        group.bench_function(BenchmarkId::from_parameter(pending), |bencher| {
            let mut place = 0;
            let mut next = move || {
                place = (place + 1) % spans_len();
                place
            };
            let fresh = |next: &mut dyn FnMut() -> usize| {
                let mut agenda = Agenda::with_capacity(pending);
                for node in 0..pending as u32 {
                    let at = agenda.now() + spans[next()];
                    agenda.at(at, 0, Payload { kind: 0, node, call: [0; 3] });
                }
                agenda
            };
            let mut agenda = fresh(&mut next);
            let mut left = 200_000_000u32 - pending as u32;
            bencher.iter(|| {
                // An agenda numbers at most 2^28 events.
                left -= 1;
                if left == 0 {
                    agenda = fresh(&mut next);
                    left = 200_000_000 - pending as u32;
                }
                let (at, event) = agenda.pop().expect("there are events");
                agenda.at(at + spans[next()], 0, black_box(event));
            });
        });
    }
    group.finish();
}

const fn spans_len() -> usize {
    65_536
}

criterion_group!(benches, hold);
criterion_main!(benches);
