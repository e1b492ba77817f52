//! Pod templates of a Deployment over time: each is a ReplicaSet of its own, with a number after those of the scenario's
//! Deployments and Jobs. The first has its Deployment's.

use crate::scenario::Scenario;

/// Which ReplicaSets belong together.
#[derive(Clone, Debug)]
pub(super) struct Revisions {
    /// By ReplicaSet: its Deployment.
    owner: Vec<u32>,
    /// By Deployment: its ReplicaSets by age.
    sets: Vec<Vec<u32>>,
}

impl Revisions {
    /// Puts the templates to come beside the scenario's Deployments; `None`: no template ever changes.
    pub fn unfold(scenario: &mut Scenario) -> Option<Revisions> {
        let deployments = scenario.deployments.len() as u32;
        let mut revisions = Revisions {
            owner: (0..deployments).collect(),
            sets: (0..deployments).map(|deployment| vec![deployment]).collect(),
        };
        for (deployment, sets) in revisions.sets.iter_mut().enumerate() {
            let base = scenario.deployments[deployment].clone();
            for change in &base.rollouts.changes {
                sets.push(scenario.deployments.len() as u32);
                revisions.owner.push(deployment as u32);
                scenario.deployments.push(base.with_template(change));
            }
        }
        (scenario.deployments.len() as u32 > deployments).then_some(revisions)
    }

    pub fn owner(&self, set: u32) -> u32 {
        self.owner[set as usize]
    }
    pub fn sets(&self, deployment: u32) -> &[u32] {
        &self.sets[deployment as usize]
    }
    pub fn deployments(&self) -> u32 {
        self.sets.len() as u32
    }
}
