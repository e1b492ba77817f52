//! The VPC resource controller: a trunk interface for each node, a branch interface for each pod with security groups.
//!
//! Jobs come to a queue of their kind; a worker makes one job's calls one after the other. Left out: its own clean-up of
//! interfaces that nobody owns, and everything about Windows.
//! Source: amazon-vpc-resource-controller-k8s v1.8.2, `pkg/provider/branch`, `pkg/node`, `pkg/worker`,
//! `pkg/aws/ec2/api`, `main.go`.

use std::collections::VecDeque;

use crate::units::{SimDuration, SimTime};

/// EC2's calls that it makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Api {
    DescribeInstances,
    DescribeSubnets,
    CreateNetworkInterface,
    CreateNetworkInterfacePermission,
    AttachNetworkInterface,
    ModifyNetworkInterfaceAttribute,
    DescribeNetworkInterfaces,
    AssociateTrunkInterface,
    DisassociateTrunkInterface,
    DeleteNetworkInterface,
}

impl Api {
    pub const ALL: [Api; 10] = [
        Api::DescribeInstances,
        Api::DescribeSubnets,
        Api::CreateNetworkInterface,
        Api::CreateNetworkInterfacePermission,
        Api::AttachNetworkInterface,
        Api::ModifyNetworkInterfaceAttribute,
        Api::DescribeNetworkInterfaces,
        Api::AssociateTrunkInterface,
        Api::DisassociateTrunkInterface,
        Api::DeleteNetworkInterface,
    ];

    /// EC2's name of it.
    pub const fn name(self) -> &'static str {
        match self {
            Api::DescribeInstances => "DescribeInstances",
            Api::DescribeSubnets => "DescribeSubnets",
            Api::CreateNetworkInterface => "CreateNetworkInterface",
            Api::CreateNetworkInterfacePermission => "CreateNetworkInterfacePermission",
            Api::AttachNetworkInterface => "AttachNetworkInterface",
            Api::ModifyNetworkInterfaceAttribute => "ModifyNetworkInterfaceAttribute",
            Api::DescribeNetworkInterfaces => "DescribeNetworkInterfaces",
            Api::AssociateTrunkInterface => "AssociateTrunkInterface",
            Api::DisassociateTrunkInterface => "DisassociateTrunkInterface",
            Api::DeleteNetworkInterface => "DeleteNetworkInterface",
        }
    }
    /// Does the call go out through the client of the instance's account, which is slower than the user's?
    pub const fn by_instance_client(self) -> bool {
        matches!(self, Api::AssociateTrunkInterface | Api::DisassociateTrunkInterface)
    }
}

/// Requests a second and burst of its clients: of EC2 for the user's account and for the instance's, each try of the SDK
/// counted, and of Kubernetes.
pub const USER_CLIENT: (u32, u32) = (24, 36);
pub const INSTANCE_CLIENT: (u32, u32) = (12, 18);
pub const KUBERNETES_CLIENT: (u32, u32) = (20, 30);
/// Workers for nodes, and for branch interfaces.
pub const NODE_WORKERS: u32 = 20;
pub const BRANCH_WORKERS: u32 = 30;
/// All jobs that failed come back at this rate at most: the queue's own bucket.
pub const REQUEUES: (u32, u32) = (10, 100);
/// A deleted pod's branch interface is kept for so long (`branch-eni-cooldown`), and a pod that finds its trunk full comes
/// back after as long.
pub const COOL_DOWN: SimDuration = SimDuration::from_secs(60);
/// Between two looks at what a trunk has to delete.
pub const DELETE_PERIOD: SimDuration = SimDuration::from_secs(30);
/// Pods are looked at anew this often, whatever became of them.
pub const RESYNC: SimDuration = SimDuration::from_secs(1_800);
/// A branch interface whose deletion fails is tried anew so often before it is forgotten.
pub const DELETE_ROUNDS: u32 = 3;

/// The calls that make a trunk; the last one is repeated until the interface is attached. A node whose pods are in another
/// subnet than itself takes one more.
pub fn trunk_calls(custom_networking: bool) -> Vec<Api> {
    let mut calls = vec![Api::DescribeInstances, Api::DescribeSubnets];
    if custom_networking {
        calls.push(Api::DescribeSubnets);
    }
    calls.extend([
        Api::DescribeInstances,
        Api::CreateNetworkInterface,
        Api::CreateNetworkInterfacePermission,
        Api::AttachNetworkInterface,
        Api::ModifyNetworkInterfaceAttribute,
        Api::DescribeNetworkInterfaces,
    ]);
    calls
}

/// The calls that make a branch interface, between reading the pod and annotating it.
pub const BRANCH_CALLS: [Api; 3] =
    [Api::CreateNetworkInterface, Api::CreateNetworkInterfacePermission, Api::AssociateTrunkInterface];

/// When a job that has failed so often, from 1, comes back to its queue by itself; `None`: given up until the next resync.
pub fn requeue_after(failures: u32) -> Option<SimDuration> {
    const MOST: u32 = 5;
    (failures <= MOST).then(|| SimDuration::from_millis(5 << (failures - 1)))
}

/// The wait after the `looks`-th look, from 1, that found the trunk not attached; `None`: it was the last.
pub fn look_again_after(looks: u32, jitter: f64) -> Option<SimDuration> {
    (looks < 7).then(|| SimDuration::from_secs(1 << (looks - 1)).mul_f64(1.0 + 0.1 * jitter))
}

/// The wait after the `tries`-th refused DeleteNetworkInterface, from 1; `None`: it was the last of this round.
pub fn delete_again_after(tries: u32, jitter: f64) -> Option<SimDuration> {
    (tries < 5).then(|| SimDuration::from_millis(100 * 3u64.pow(tries - 1)).mul_f64(1.0 + 0.1 * jitter))
}

/// A branch interface, numbered by the caller.
pub type Branch = u32;

/// A node's trunk as the controller's cache has it.
#[derive(Clone, Debug)]
pub struct Trunk {
    /// Branch interfaces that the type allows.
    most: u32,
    /// Those that pods have.
    used: u32,
    /// To be deleted, and since when they cool down; `None`: they need not.
    deletes: VecDeque<(Branch, Option<SimTime>)>,
}

impl Trunk {
    pub fn new(most: u32) -> Trunk {
        Trunk { most, used: 0, deletes: VecDeque::new() }
    }
    /// May a pod have one more? Those that wait for their deletion count.
    pub fn has_room(&self) -> bool {
        self.used + (self.deletes.len() as u32) < self.most
    }
    /// Those that wait for their deletion.
    pub fn cooling(&self) -> u32 {
        self.deletes.len() as u32
    }
    /// One is associated for a pod.
    pub fn created(&mut self) {
        self.used += 1;
    }
    /// The pod for which it was has gone meanwhile.
    pub fn lost(&mut self) {
        self.used -= 1;
    }
    /// The pod that had it is deleted.
    pub fn release(&mut self, branch: Branch, now: SimTime) {
        self.used -= 1;
        self.deletes.push_back((branch, Some(now)));
    }
    /// It was made, or half made, for nobody.
    pub fn discard(&mut self, branch: Branch) {
        self.deletes.push_front((branch, None));
    }
    /// The next one to delete, if it has cooled down. What lies behind one that has not waits too.
    pub fn next_deleted(&mut self, now: SimTime) -> Option<Branch> {
        let (branch, since) = *self.deletes.front()?;
        if since.is_some_and(|since| now <= since + COOL_DOWN) {
            return None;
        }
        self.deletes.pop_front();
        Some(branch)
    }
    /// The first look after `now` that finds something to delete, of looks every [`DELETE_PERIOD`] from `from` on; `None`:
    /// nothing waits.
    pub fn next_look(&self, from: SimTime, now: SimTime) -> Option<SimTime> {
        let (_, since) = self.deletes.front()?;
        let cooled = since.map_or(now, |since| since + COOL_DOWN).max(now);
        let turns = cooled.saturating_since(from).nanos() / DELETE_PERIOD.nanos() + 1;
        Some(from + DELETE_PERIOD * turns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trunk_is_full_while_what_pods_left_cools_down() {
        let at = SimTime::from_secs;
        let mut trunk = Trunk::new(2);
        (0..2).for_each(|_| trunk.created());
        assert!(!trunk.has_room());
        trunk.release(7, at(10));
        assert!(!trunk.has_room());
        // Looked at at 5, 35, 65, 95 s; at 70 s to the nanosecond it still cools.
        assert_eq!(trunk.next_look(at(5), at(10)), Some(at(95)));
        assert_eq!(trunk.next_deleted(at(70)), None);
        assert_eq!(trunk.next_look(at(10), at(10)), Some(at(100)));
        assert_eq!(trunk.next_deleted(at(95)), Some(7));
        assert!(trunk.has_room());
        assert_eq!(trunk.next_look(at(95), at(95)), None);
    }

    #[test]
    fn what_was_made_for_nobody_goes_first_and_at_once() {
        let at = SimTime::from_secs;
        let mut trunk = Trunk::new(9);
        trunk.created();
        trunk.release(1, at(10));
        trunk.discard(2);
        assert_eq!(trunk.next_look(at(5), at(10)), Some(at(35)));
        assert_eq!((trunk.next_deleted(at(35)), trunk.next_deleted(at(35))), (Some(2), None));
    }

    #[test]
    fn waits_are_those_of_its_queue_and_its_back_offs() {
        let millis = |wait: Option<SimDuration>| wait.map(SimDuration::millis);
        assert_eq!([1, 2, 5, 6].map(|n| millis(requeue_after(n))), [Some(5), Some(10), Some(80), None]);
        assert_eq!([1, 6, 7].map(|n| millis(look_again_after(n, 0.0))), [Some(1_000), Some(32_000), None]);
        assert_eq!([1, 4, 5].map(|n| millis(delete_again_after(n, 1.0))), [Some(110), Some(2_970), None]);
    }
}
