//! Whole replications of cells of the main job, a scheduling queue's pass, and a step of ipamd.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::Arc;

use criterion::{Criterion, criterion_group, criterion_main};
use kilopod::actors::ipamd::{Limits, Settings, Version, resting_states};
use kilopod::actors::kube_scheduler::queue::{Failure, QueueVersion, SchedulingQueue};
use kilopod::catalogue::Catalogue;
use kilopod::components::{Prepared, simulate};
use kilopod::experiment::{Overrides, read_file};
use kilopod::units::{SimDuration, SimTime};

fn cells(criterion: &mut Criterion) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/thousand-pods");
    let catalogue = Arc::new(Catalogue::compiled_in());
    let plan = read_file(&folder, &[], &Overrides::default(), &catalogue).expect("the main job's experiment");
    let mut group = criterion.benchmark_group("replication");
    group.sample_size(20);
    for labels in [
        ["m5.large", "on-demand", "ip-1", "/21"],
        ["m5.large", "on-demand", "default", "/19"],
        ["m5.xlarge", "on-demand", "default", "/19"],
        ["families", "on-demand", "default", "/19"],
        ["families", "on-demand", "ip-1", "/19"],
        ["anything", "spot", "ip-1", "/19"],
    ] {
        let cell = plan.cells.iter().find(|cell| cell.labels == labels).expect("a cell of the main job");
        let prepared = Prepared::new(cell.scenario.clone());
        let mut replication = 0;
        group.bench_function(labels.join(" "), |bencher| {
            bencher.iter(|| {
                replication += 1;
                black_box(simulate(&prepared, 1, replication % 100))
            });
        });
    }
    group.finish();
}

/// A thousand pods fail, are woken by an event and are taken again.
fn scheduler_pass(criterion: &mut Criterion) {
    criterion.bench_function("scheduling queue, 1000 pods once round", |bencher| {
        let mut queue = SchedulingQueue::new(QueueVersion::V1_34, SimDuration::ZERO);
        (0..1_000).for_each(|pod| queue.add(pod, 0, SimTime::ZERO));
        let mut now = SimTime::ZERO;
        bencher.iter(|| {
            now += SimDuration::from_secs(1);
            while let Some(pod) = queue.pop(now) {
                queue.fail(pod, Failure::Rejected, now);
            }
            queue.wake_where(now, |_| true);
            while queue.next_moved().is_some() {}
        });
    });
}

/// A node's pool from its start to its rest with no pod: some 14 steps.
fn ipamd_steps(criterion: &mut Criterion) {
    let limits = Limits { max_enis: 3, ipv4_per_eni: 10, prefixes: true, trunking: Some(false) };
    let settings = Settings::read(Version::V1_23, &BTreeMap::new(), limits, 29, &mut Vec::new());
    criterion.bench_function("ipamd, start to rest", |bencher| {
        bencher.iter(|| black_box(resting_states(&settings, 0)));
    });
}

criterion_group!(benches, cells, scheduler_pass, ipamd_steps);
criterion_main!(benches);
