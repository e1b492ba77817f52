//! Pods that a Deployment has beyond its replicas while its template changes. The target counts at most as many of a Deployment
//! as it has replicas, so that a rollout's surge does not stand in for pods that another lacks. Where no template ever changes,
//! nobody keeps this account.

use super::books::Standing;
use super::state::PodStage;
use super::*;

impl Standing {
    /// What is there beyond `replicas`.
    pub fn beyond(self, replicas: u32) -> Standing {
        Standing {
            running: self.running.saturating_sub(replicas),
            ready: self.ready.saturating_sub(replicas),
        }
    }
}

impl Run<'_> {
    /// A pod of the ReplicaSet has begun to be Running or Ready, has ceased to be, or both.
    #[inline]
    pub(super) fn note_standing(&mut self, set: u32, from: PodStage, to: PodStage) {
        if self.rollouts.is_some() && !self.is_job(set) {
            self.move_standing(set, from, to);
        }
    }
    fn move_standing(&mut self, set: u32, from: PodStage, to: PodStage) {
        let owner = self.owner(set);
        let standing = self.rollouts.as_mut().expect("a template changes in this run").standing_mut(owner);
        let runs = |stage| u32::from(matches!(stage, PodStage::Running | PodStage::Ready));
        let ready = |stage| u32::from(stage == PodStage::Ready);
        standing.running = standing.running + runs(to) - runs(from);
        standing.ready = standing.ready + ready(to) - ready(from);
        self.count_surplus();
    }

    /// Counts anew what the target does not count.
    pub(super) fn count_surplus(&mut self) {
        let Some(rollouts) = &self.rollouts else { return };
        self.books.surplus = rollouts.surplus();
    }

    /// # Panics
    /// If the account does not agree with the pods.
    pub(super) fn check_surplus(&self) {
        let Some(rollouts) = &self.rollouts else { return };
        assert_eq!(rollouts.surplus(), self.books.surplus, "surplus at {}", self.now);
        let revisions = self.prepared.revisions.as_ref().expect("a template changes in this run");
        for deployment in (0..revisions.deployments()).filter(|deployment| !self.is_job(*deployment)) {
            let own = self.pods.iter().filter(|pod| self.owner(pod.deployment) == deployment);
            let standing = own.fold(Standing::default(), |sum, pod| Standing {
                running: sum.running + u32::from(matches!(pod.stage, PodStage::Running | PodStage::Ready)),
                ready: sum.ready + u32::from(pod.stage == PodStage::Ready),
            });
            let known = rollouts.standing(deployment);
            assert_eq!(standing, known, "pods of Deployment {deployment} at {}", self.now);
        }
    }
}
