//! One replication of several scenarios that differ in nothing but how large their subnets are.
//!
//! Where addresses are only counted, a subnet's size is felt from the first request on for which it is too small: until
//! then runs in smaller and in larger subnets are the same run. So the smallest is simulated. If it refuses nothing, it
//! stands for the others; if its addresses run low, the next larger goes on from there by itself.

use super::*;

/// So few free addresses are low: more than any call of ipamd asks for. Where one event takes more of them than that
/// (a fleet's answer may), the next larger begins anew.
const LOW: u32 = 64;

/// What a run is to know of its subnets for the sake of others that have larger ones.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watch {
    /// Does a larger one wait?
    pub on: bool,
    /// It is on, and a subnet has few addresses left.
    pub low: bool,
    /// Something was asked for that a larger subnet might have had.
    pub short: bool,
}

impl Watch {
    /// A request left so many free, or was refused.
    #[inline]
    pub fn note(&mut self, free: u32, refused: bool) {
        self.low |= self.on && free < LOW;
        self.short |= refused;
    }
}

impl Prepared {
    /// Would a replication of it be one of `larger` as long as no address is missed? Zones have a subnet each, since which of
    /// several is taken goes by what they have free; addresses are not placed, since where depends on what is free.
    pub fn is_smaller_than(&self, larger: &Prepared) -> bool {
        let (own, other) = (&self.scenario, &larger.scenario);
        let zones: BTreeSet<u32> = own.subnets.iter().map(|subnet| subnet.zone).collect();
        zones.len() == own.subnets.len()
            && own.subnets.len() == other.subnets.len()
            && own.subnets.iter().zip(&other.subnets).all(|(own, other)| own.size() <= other.size())
            && own.subnets.iter().all(|subnet| subnet.reserved_prefixes == 0)
            && !self.prefixes
            && own.differs_in_subnet_sizes_only(other)
    }

    /// By how many addresses each subnet is smaller.
    fn lacks(&self, larger: &Prepared) -> Vec<u32> {
        let pairs = self.scenario.subnets.iter().zip(&larger.scenario.subnets);
        pairs.map(|(own, other)| other.size() - own.size()).collect()
    }
}

/// One replication of each, as [`simulate`] would have it: each [is smaller](Prepared::is_smaller_than) than the next.
pub fn simulate_from_smallest(prepared: &[&Prepared], seed: u64, replication: u32) -> Vec<ReplicationRecord> {
    let mut records = Vec::with_capacity(prepared.len());
    let mut begun: Option<Run<'_>> = None;
    while let Some(own) = prepared.get(records.len()) {
        let begin = || Run::begun(own, Chance::new(seed, replication), Wishes::default());
        let mut run = begun.take().unwrap_or_else(begin);
        let larger = &prepared[records.len() + 1..];
        run.watch = Watch { on: !larger.is_empty(), ..run.watch };
        if !run.run_on() {
            begun = (!run.watch.short).then(|| run.in_larger(larger[0]));
            run.watch = Watch { on: false, low: false, ..run.watch };
            run.run_on();
        }
        // A run that is stuck may be so for want of addresses that it did not ask for.
        let enough = !run.watch.short && !run.stuck;
        let record = run.record(replication);
        let mut alike = Vec::new();
        if enough {
            begun = None;
            alike.extend(larger.iter().map(|larger| record.in_larger_subnets(&own.lacks(larger))));
        }
        records.push(record);
        records.append(&mut alike);
    }
    records
}

impl<'a> Run<'a> {
    /// This run in larger subnets, of which it has missed nothing so far.
    fn in_larger(&self, larger: &'a Prepared) -> Run<'a> {
        let more = self.prepared.lacks(larger);
        let mut run =
            Run { prepared: larger, scenario: &larger.scenario, watch: Watch::default(), ..self.clone() };
        run.subnets.iter_mut().zip(&more).for_each(|(subnet, more)| subnet.enlarge(*more));
        run.books.enlarge(more.iter().sum());
        run
    }
}
