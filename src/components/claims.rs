//! How long NodeClaims took from phase to phase, and how full their nodes are at the end.

use super::*;
use crate::results::ClaimRecord;
use crate::units::MIB;

impl Run<'_> {
    pub(super) fn claim_record(&self) -> ClaimRecord {
        let claims = || self.nodes.iter().filter(|node| !node.is_static());
        let mean = |from: fn(&Node) -> SimTime, until: fn(&Node) -> SimTime| {
            let done = claims().filter(|node| until(node) < SimTime::NEVER);
            let (sum, count) = done.fold((0u64, 0u64), |(sum, count), node| {
                (sum + until(node).since(from(node)).millis(), count + 1)
            });
            sum.checked_div(count)
        };
        let mut record = ClaimRecord {
            launch_ms: mean(|node| node.created_at, |node| node.launched),
            registration_ms: mean(|node| node.launched, |node| node.unregistered_gone_at),
            usable_ms: mean(
                |node| node.unregistered_gone_at,
                |node| node.usable_at.max(node.unregistered_gone_at),
            ),
            ..ClaimRecord::default()
        };
        let fits = |room: &Resources| {
            self.scenario.deployments.iter().any(|deployment| deployment.requests.fits(room))
        };
        let there = self.nodes.iter().zip(0..).filter(|(node, _)| !node.is_static());
        for (node, number) in there.filter(|(node, _)| node.lives() && !node.disrupted) {
            let room = self.room_for_karpenter(number);
            record.allocatable_cpu_m += node.allocatable.cpu_millis.unsigned_abs();
            record.requested_cpu_m += node.requested.cpu_millis.unsigned_abs();
            record.allocatable_memory_mib += (node.allocatable.memory_bytes / MIB).unsigned_abs();
            record.requested_memory_mib += (node.requested.memory_bytes / MIB).unsigned_abs();
            if !fits(&room) {
                record.stranded_cpu_m += room.cpu_millis.max(0).unsigned_abs();
                record.stranded_memory_mib += (room.memory_bytes.max(0) / MIB).unsigned_abs();
            }
        }
        record
    }
}
