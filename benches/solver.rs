//! One round of Karpenter's solver: pods of few and of many shapes against 400 and 1,000 types.

use std::collections::BTreeMap;
use std::hint::black_box;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use kilopod::actors::karpenter::offers::{Offered, Offers, all_available};
use kilopod::actors::karpenter::requirement::Requirements;
use kilopod::actors::karpenter::solve::{ByName, Limits, NodePool, Provisioner, Shape, Spread};
use kilopod::actors::karpenter::{NodeSettings, allocatable, capacity};
use kilopod::catalogue::Catalogue;
use kilopod::units::{MIB, Resources};

const CPUS: [i64; 5] = [100, 250, 500, 1_000, 1_500];
const MEMORY: [i64; 6] = [100, 256, 512, 1_024, 2_048, 4_096];

fn provisioner(types: usize, shapes: &[Shape]) -> Provisioner {
    let zones: Vec<String> = ["a", "b", "c"].map(|zone| format!("us-east-1{zone}")).to_vec();
    let (catalogue, settings) = (Catalogue::compiled_in(), NodeSettings::default());
    let offered = |instance| {
        let resources = (capacity(instance, &settings)?, allocatable(instance, &settings)?);
        Offered::new(instance, "us-east-1", &zones, resources, |_| true)
    };
    let all = catalogue.types().iter().filter(|instance| instance.complete);
    let types: Vec<Offered> = all.filter_map(offered).take(types).collect();
    let available = all_available(&types, zones.len());
    let pool = NodePool {
        name: "default".into(),
        weight: 0,
        requirements: Requirements::default(),
        labels: BTreeMap::new(),
        taints: Vec::new(),
        types: None,
        reservations: None,
    };
    Provisioner::new(Offers::new(types, zones, available, Resources::ZERO), vec![pool], shapes)
}

/// Thirty shapes; every fifth spreads over zones, and every fifth over hosts.
fn mixed() -> Vec<Shape> {
    let spread = |key: &str| Spread { key: key.into(), max_skew: 1, soft: false, min_domains: None };
    let sizes = CPUS.iter().flat_map(|cpu| MEMORY.iter().map(move |memory| (*cpu, *memory)));
    let shape = |(index, (cpu, memory)): (usize, (i64, i64))| {
        let mut shape = Shape::plain(Resources::new(cpu, memory * MIB, 1));
        match index % 5 {
            0 => shape.spread.push(spread("topology.kubernetes.io/zone")),
            1 => shape.spread.push(Spread { max_skew: 10, ..spread("kubernetes.io/hostname") }),
            _ => {}
        }
        shape
    };
    sizes.enumerate().map(shape).collect()
}

/// A thousand shapes, all of another size.
fn different() -> Vec<Shape> {
    (0..1_000).map(|n| Shape::plain(Resources::new(500 + n, (1_024 + 3 * n) * MIB, 1))).collect()
}

fn rounds(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("solver");
    group.sample_size(10);
    let plain = vec![Shape::plain(Resources::new(1_000, 2_048 * MIB, 1))];
    for (name, shapes, counts) in [
        ("equal", plain, vec![1_000]),
        ("mixed", mixed(), vec![1_000, 5_000, 20_000]),
        ("different", different(), vec![1_000]),
    ] {
        for types in [400, 1_000] {
            let ready = provisioner(types, &shapes);
            for count in &counts {
                let pods: Vec<u32> = (0..*count).map(|pod| pod % shapes.len() as u32).collect();
                group.bench_function(format!("{count} pods, {name}, {types} types"), |bencher| {
                    bencher.iter_batched(
                        || ready.clone(),
                        |mut ready| black_box(ready.solve(&pods, &[], &[Limits::default()], &mut ByName)),
                        BatchSize::LargeInput,
                    );
                });
            }
        }
    }
    group.finish();
}

criterion_group!(benches, rounds);
criterion_main!(benches);
