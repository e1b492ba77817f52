//! A node as it would be with other pods on it: those for whom others make room there beside those that are, or without
//! those that would have to go.
//!
//! Pods that are deleted already go once more where a dry run takes them away, which matters to nobody: spreading counts a
//! Deployment's own pods only, and those are of one priority. Source: kubernetes v1.34.4, `framework/runtime/framework.go`
//! (`RunFilterPluginsWithNominatedPods`) and the plugins' `AddPod` and `RemovePod`.

use super::*;

/// What still may be lifted when pods leave the node: `Unschedulable`, where the rest is `UnschedulableAndUnresolvable`.
const OF_PODS: Verdict = LACKS | 1 << PORTS | 1 << VOLUME_LIMIT | 1 << SPREAD | 1 << APART | 1 << KEPT_OFF;

/// Of pods that are counted by set; an empty list: none.
pub(super) fn of_set(pods: &[i64], set: usize) -> i64 {
    pods.get(set).copied().unwrap_or(0)
}

impl Placing {
    /// Pods of each set for whom others make room on a node.
    pub(super) fn expected(&self, taken: &Taken) -> Vec<i64> {
        if taken.expected.is_empty() {
            return Vec::new();
        }
        let of = |set: &PodSet| taken.expected.iter().filter(|pod| set.of.contains(pod)).count() as i64;
        self.sets.iter().map(of).collect()
    }

    /// What others' whereabouts say of a node that had so many pods more of each set: both with those that are expected there and
    /// without, since the pod must not rely on them.
    pub(super) fn verdict_of_others(&self, seen: &Seen, more: &[i64]) -> Verdict {
        if seen.expected.is_empty() {
            return self.verdict_with(seen, more, true);
        }
        let with: Vec<i64> =
            (0..).zip(&seen.expected).map(|(set, count)| count + of_set(more, set)).collect();
        // From 1.26 on a filter that the nodes' pods gave nothing to do does nothing.
        let skipped = self.version > Version::V1_24 && self.company.is_skipped();
        match self.verdict_with(seen, &with, !skipped) {
            0 => self.verdict_with(seen, more, true),
            verdict => verdict,
        }
    }
    fn verdict_with(&self, seen: &Seen, more: &[i64], company: bool) -> Verdict {
        for rule in &self.hard {
            let domain = seen.domains[rule.counted.key];
            if domain == NOWHERE {
                return 1 << SPREAD_LABEL;
            }
            if !rule.admits(domain, of_set(more, rule.counted.whose)) {
                return 1 << SPREAD;
            }
        }
        if company { self.company.verdict(seen, more) } else { 0 }
    }

    /// May it help the Deployment's pods that others leave the node? Up to 1.24 no request was too large for that.
    pub fn may_be_freed(&self, node: u32) -> bool {
        let too_large = if self.version > Version::V1_24 { 0 } else { 1 << NEVER_FITS };
        let Some(seen) = self.seen.get(node as usize).filter(|seen| seen.there) else { return false };
        let verdict = self.verdict(seen);
        verdict != 0 && verdict & !(OF_PODS | too_large) == 0
    }
    /// All such nodes.
    pub fn nodes_to_free(&self) -> Vec<u32> {
        (0..self.seen.len() as u32).filter(|node| self.may_be_freed(*node)).collect()
    }

    /// A pod of the Deployment `kind` comes to a node (1) or leaves it (-1), as `more` counts pods.
    pub fn shift(&self, more: &mut Vec<i64>, kind: u32, pods: i64) {
        more.resize(self.sets.len(), 0);
        let with_it = self.sets.iter().zip(more).filter(|(set, _)| set.of.contains(&kind));
        with_it.for_each(|(_, more)| *more += pods);
    }
    /// Would the filters that ask for neither room nor ports let a pod come, if so many more of each set were there?
    pub fn admits_with(&self, node: u32, more: &[i64]) -> bool {
        let seen = &self.seen[node as usize];
        seen.tolerated && seen.selected && seen.has_volumes && self.verdict_of_others(seen, more) == 0
    }
}
