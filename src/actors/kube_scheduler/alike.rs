//! Feasible nodes by what their score hangs on: under the system's default constraints those of one kind score the same, so
//! that an attempt looks at a few kinds, as sets of bits, and not at hundreds of nodes.

use super::groups::{Groups, Window};
use super::spread;

/// What a node's score for a pod of the Deployment hangs on, all else being equal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Kind {
    pub zone: u32,
    /// Pods of the Deployment on the node.
    pub pods: u32,
    /// Both resource plugins' scores, see [`super::score::resources`], with ImageLocality's.
    pub score: i64,
}

/// The node chosen, and how many nodes were looked at for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Choice {
    pub node: u32,
    pub looked_at: u32,
}

/// See the module's page. Nodes are numbered by the caller from 0 on.
#[derive(Clone, Debug, Default)]
pub struct Alike {
    groups: Groups<Kind>,
    /// By group, of the attempt under way: how many of it are looked at, and their score.
    looked_at: Vec<(u32, i64)>,
    /// Of spreading, by number of domains.
    weights: Vec<f64>,
}

impl Alike {
    /// Nodes that fit.
    pub fn count(&self) -> u32 {
        self.groups.count()
    }
    /// The node fits, being of this kind; `None`: it does not fit, or is not there.
    pub fn set(&mut self, node: u32, kind: Option<Kind>) {
        self.groups.set(node, kind);
    }
    /// The score of a node that fits changes.
    pub fn raise(&mut self, node: u32, by: i64) {
        let raised = self.groups.kind(node).map(|kind| Kind { score: kind.score + by, ..*kind });
        self.groups.set(node, raised);
    }

    /// One of the best of up to `most` feasible nodes, beginning at `from` and going round; where there are no more of them
    /// all `nodes` are looked at. `in_zone`: the Deployment's pods by zone. `pick` is asked for a number below that of equal
    /// ones, if there are several.
    pub fn choose(
        &mut self,
        (from, most, nodes): (u32, u32, u32),
        in_zone: &[u32],
        pick: impl FnOnce(u64) -> u64,
    ) -> Option<Choice> {
        if self.count() == 0 {
            return None;
        }
        let (groups, all) = (&self.groups, self.groups.numbers());
        let (window, looked_at) = if self.count() <= most {
            (Window::whole(all), nodes)
        } else {
            Window::holding(most, from % all, all, |word| groups.word(word))
        };
        self.count_looked_at(window);
        let best = self.best(in_zone);
        let groups = || self.groups.groups().iter().zip(&self.looked_at);
        let tied = || groups().filter(|(_, (count, score))| *count > 0 && *score == best);
        let ties: u64 = tied().map(|(_, (count, _))| u64::from(*count)).sum();
        let place = if ties == 1 { 0 } else { pick(ties) as u32 };
        let bits = |word| tied().fold(0, |all, (group, _)| all | group.word(word));
        let node = window.select(bits, place).expect("the pick is below the number of ties");
        Some(Choice { node, looked_at })
    }

    /// Counts what of each group is within the window.
    fn count_looked_at(&mut self, window: Window) {
        let whole = window == Window::whole(self.groups.numbers());
        self.looked_at.clear();
        self.looked_at.extend(self.groups.groups().iter().map(|group| {
            let all = whole || group.count == 0;
            (if all { group.count } else { window.count(group) }, 0)
        }));
    }

    /// Scores the groups of which any is looked at: the highest score.
    fn best(&mut self, in_zone: &[u32]) -> i64 {
        let (mut candidates, mut zones) = (0, 0u64);
        for (group, (count, _)) in self.groups.groups().iter().zip(&self.looked_at) {
            candidates += count;
            zones |= u64::from(*count > 0) << group.kind.zone;
        }
        let (host, zone) = (self.weight(candidates as usize), self.weight(zones.count_ones() as usize));
        let (mut least, mut most) = (i64::MAX, i64::MIN);
        let groups = self.groups.groups();
        for (group, (_, score)) in groups.iter().zip(&mut self.looked_at).filter(|(_, (count, _))| *count > 0)
        {
            *score = spread::default_raw((group.kind.pods, host), (in_zone[group.kind.zone as usize], zone));
            (least, most) = (least.min(*score), most.max(*score));
        }
        let mut best = i64::MIN;
        for (group, (_, score)) in groups.iter().zip(&mut self.looked_at).filter(|(_, (count, _))| *count > 0)
        {
            *score = 2 * spread::normalised(*score, least, most) + group.kind.score;
            best = best.max(*score);
        }
        best
    }

    fn weight(&mut self, domains: usize) -> f64 {
        for known in self.weights.len()..=domains {
            self.weights.push(spread::weight(known));
        }
        self.weights[domains]
    }
}

#[cfg(test)]
mod tests;
