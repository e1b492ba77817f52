//! A /16 with 60,000 addresses taken: one of them, at random, comes back, and another is taken.

use criterion::{Criterion, criterion_group, criterion_main};
use kilopod::chance::{Chance, Component};
use kilopod::world::subnet::Subnet;

const TAKEN: u32 = 60_000;
const DRAWS: usize = 65_536;

fn take_and_free(criterion: &mut Criterion) {
    let chance = Chance::new(1, 0);
    // Drawn beforehand, so that the books alone are timed.
    let bits: Vec<u64> = (0..DRAWS as u32).map(|draw| chance.bits(Component::Address, 0, draw)).collect();
    let mut place = 0;
    let mut below = move |bound: u64| {
        place = (place + 1) % DRAWS;
        bits[place] % bound
    };
    let mut group = criterion.benchmark_group("subnet /16, 60,000 taken");
    for (name, prefixes) in [("one back, one taken", true), ("the same, only counted", false)] {
        let mut subnet = Subnet::new(16, prefixes);
        let mut taken = Vec::with_capacity(TAKEN as usize);
        subnet.take_singles(TAKEN, &mut taken, &mut below).expect("a /16 has so many");
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let back: Option<u32> = prefixes.then(|| {
                    let index = below(taken.len() as u64) as usize;
                    taken.swap_remove(index)
                });
                subnet.return_singles(1, back.as_slice());
                subnet.take_singles(1, &mut taken, &mut below).expect("one has just come back");
            });
        });
    }
    let mut subnet = Subnet::new(16, true);
    let mut taken = Vec::new();
    subnet.take_prefixes(TAKEN / 16, &mut taken, &mut below).expect("a /16 has so many");
    group.bench_function("one prefix back, one taken", |bencher| {
        bencher.iter(|| {
            let index = below(taken.len() as u64) as usize;
            let back = taken.swap_remove(index);
            subnet.return_prefixes(&[back]);
            subnet.take_prefixes(1, &mut taken, &mut below).expect("one has just come back");
        });
    });
    group.finish();
}

criterion_group!(benches, take_and_free);
criterion_main!(benches);
