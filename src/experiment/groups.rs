//! Cells that are simulated together: those that differ in nothing but how large their subnets are, of which a
//! replication is one and the same run until addresses run low.

use std::collections::BTreeMap;

use super::design::{Cell, Plan};
use super::sweep::attempt;
use crate::components::{Prepared, simulate, simulate_from_smallest};
use crate::results::ReplicationRecord;

/// The cells in groups, those of the smallest subnets first in each.
pub(super) fn groups<'a>(plan: &Plan, cells: Vec<&'a Cell>) -> Vec<Vec<&'a Cell>> {
    let keys: Vec<&String> = plan.factors.iter().flat_map(|factor| &factor.keys).collect();
    let sizes = |key: &str| {
        key == "subnet_prefix_length" || key.ends_with(".prefix_length") || key.ends_with(".cidr")
    };
    let mut groups: Vec<Vec<&Cell>> = Vec::new();
    // Groups by what else their cells' levels set, so that few scenarios are compared.
    let mut by_values: BTreeMap<Vec<&str>, Vec<usize>> = BTreeMap::new();
    for cell in cells {
        let others = keys.iter().zip(&cell.values).filter(|(key, _)| !sizes(key));
        let places = by_values.entry(others.map(|(_, value)| value.as_str()).collect()).or_default();
        let alike = |place: &&usize| groups[**place][0].scenario.differs_in_subnet_sizes_only(&cell.scenario);
        match places.iter().find(alike).copied() {
            Some(place) => groups[place].push(cell),
            None => {
                places.push(groups.len());
                groups.push(vec![cell]);
            }
        }
    }
    for group in &mut groups {
        group.sort_by_key(|cell| {
            cell.scenario.subnets.iter().map(|subnet| u64::from(subnet.size())).sum::<u64>()
        });
    }
    groups
}

/// A replication's record, or what it said when it failed.
pub(super) type Outcome = Result<ReplicationRecord, String>;

/// Simulates replications of a group's cells.
pub(super) struct Simulator {
    prepared: Vec<Prepared>,
    seed: u64,
    /// Is each smaller than the next?
    rising: bool,
}

impl Simulator {
    pub fn new(group: &[&Cell], seed: u64) -> Simulator {
        let prepared: Vec<Prepared> = group.iter().map(|cell| Prepared::new(cell.scenario.clone())).collect();
        let rising = prepared.windows(2).all(|pair| pair[0].is_smaller_than(&pair[1]));
        Simulator { prepared, seed, rising }
    }

    /// One replication of each of these cells, told by their places in the group, which rise.
    pub fn outcomes(&self, cells: &[usize], replication: u32) -> Vec<Outcome> {
        if self.rising && cells.len() > 1 {
            let prepared: Vec<&Prepared> = cells.iter().map(|cell| &self.prepared[*cell]).collect();
            let together = attempt(|| simulate_from_smallest(&prepared, self.seed, replication));
            if let Ok(records) = together {
                return records.into_iter().map(Ok).collect();
            }
        }
        // Which of them it was that failed is seen one by one.
        let alone = |cell: &usize| attempt(|| simulate(&self.prepared[*cell], self.seed, replication));
        cells.iter().map(alone).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::super::design::{Overrides, read_file};
    use super::*;
    use crate::catalogue::Catalogue;

    fn plan(experiment: &str, settings: &[&str]) -> Plan {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments").join(experiment);
        let settings: Vec<String> = settings.iter().map(|setting| setting.to_string()).collect();
        read_file(&folder, &settings, &Overrides::default(), &Arc::new(Catalogue::compiled_in())).unwrap()
    }

    #[test]
    fn cells_that_differ_in_subnet_sizes_alone_are_a_group_from_the_smallest_on() {
        let plan = plan("thousand-pods", &[]);
        let groups = groups(&plan, plan.cells.iter().collect());
        assert_eq!(groups.len(), 48);
        for group in groups {
            let lengths: Vec<u8> = group.iter().map(|cell| cell.scenario.subnets[0].prefix_length).collect();
            assert_eq!(lengths, [21, 19]);
            assert_eq!(group[0].labels[..3], group[1].labels[..3]);
        }
    }

    /// Plenty of room, room that ends in the middle, and none for the first pods; each as if simulated alone.
    #[test]
    fn together_they_come_to_what_each_comes_to_alone() {
        let settings = ["target_pods=120", "deployments.0.replicas=120", "horizon=\"12 min\""];
        let mut forked = 0;
        for experiment in ["thousand-pods", "subnet-depletion"] {
            let plan = plan(experiment, &settings);
            for group in groups(&plan, plan.cells.iter().collect()) {
                let simulator = Simulator::new(&group, 7);
                let all: Vec<usize> = (0..group.len()).collect();
                for replication in 0..2 {
                    let together = simulator.outcomes(&all, replication);
                    let alone = |cell: &usize| simulator.outcomes(&[*cell], replication).remove(0);
                    let alone: Vec<Outcome> = all.iter().map(alone).collect();
                    assert!(together == alone, "{}, replication {replication}", group[0].id());
                    let dry = |outcome: &Outcome| {
                        outcome.as_ref().is_ok_and(|record| record.subnets[0].first_dry_ms.is_some())
                    };
                    forked += u32::from(simulator.rising && dry(&alone[0]) && !dry(&alone[group.len() - 1]));
                }
            }
        }
        assert!(forked > 3, "in {forked} groups the smallest subnets ran dry and the largest did not");
    }
}
