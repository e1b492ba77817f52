//! Nodes that exist as Karpenter's rounds try them: in which order, with how much room, and which of them need no look.

use super::state::NodeStage;
use super::*;
use crate::actors::karpenter::solve::ExistingNode;

/// The draw of a node by which its UID sorts.
const UID_DRAW: u32 = 91;

/// What a round need not look at again as long as the node does not change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Seen {
    /// It must be looked at.
    No,
    Gone,
    /// No pod finds room: as an initialized node, or as one that is not yet.
    Full(bool),
    /// So much room is left, as the same.
    Open(bool, Resources),
}

/// Nodes as Karpenter tries them.
pub(super) struct Tried {
    pub indices: Vec<u32>,
    /// Left empty where rooms are all that matters.
    pub nodes: Vec<ExistingNode>,
    pub rooms: Vec<Resources>,
    /// Their places among all, and how many these are.
    pub places: Vec<u32>,
    pub count: u64,
    /// Others with pods that those to be placed may mind.
    pub elsewhere: Vec<ExistingNode>,
}

impl Run<'_> {
    /// Nodes and launched claims as Karpenter tries them, initialized ones first, but for those without room for `least`,
    /// which is the same at each call that has one.
    pub(super) fn existing_nodes(&mut self, least: Option<Resources>) -> Tried {
        let mut seen = std::mem::take(&mut self.provisioning.seen);
        seen.resize(self.nodes.len(), Seen::No);
        // What Karpenter expects of trunks and devices changes without the node; places by age take in those that are full.
        let mut none = Vec::new();
        let keeps =
            least.is_some() && self.prepared.extended.is_zero() && self.prepared.era.initialized_first;
        let kept = if keeps { &mut seen } else { &mut none };
        let tried = self.look_at_nodes(least, kept);
        self.provisioning.seen = seen;
        tried
    }

    /// Is what the last round saw still so?
    ///
    /// # Panics
    /// If not.
    pub(super) fn check_seen(&self) {
        let Some(least) = self.least_of(&[0]) else { return };
        let told = |seen: &mut [Seen]| {
            let Tried { indices, rooms, places, count, .. } = self.look_at_nodes(Some(least), seen);
            (indices, rooms, places, count)
        };
        let (seen, anew) = (told(&mut self.provisioning.seen.clone()), told(&mut []));
        assert_eq!(seen, anew, "nodes that rounds try, their rooms, places and number, at {}", self.now);
    }

    fn look_at_nodes(&self, least: Option<Resources>, seen: &mut [Seen]) -> Tried {
        let (addons, foreign) = (self.tries_addon_nodes(), self.prepared.era.packs_foreign_nodes);
        // Those that are initialized, then the others: how many, and which that are not full.
        let (mut counts, mut tried) = ([0; 2], [Vec::new(), Vec::new()]);
        let (company, mut elsewhere) = (self.has_company(), Vec::new());
        for (node, index) in self.nodes.iter().zip(0..) {
            match seen.get(index as usize) {
                Some(Seen::Gone) => continue,
                Some(Seen::Full(initialized)) => {
                    counts[usize::from(!initialized)] += 1;
                    continue;
                }
                Some(Seen::Open(initialized, room)) => {
                    let later = usize::from(!initialized);
                    tried[later].push((index, counts[later], *room));
                    counts[later] += 1;
                    continue;
                }
                Some(Seen::No) | None => {}
            }
            let see = |seen: &mut [Seen], what| {
                seen.get_mut(index as usize).into_iter().for_each(|seen| *seen = what)
            };
            let known = !node.unknown && (foreign || !node.is_static());
            let there = node.lives() && known && !node.disrupted && !node.memory_pressure;
            let open = self.constraints.is_some() || !node.cordoned;
            if there && open && (addons || !node.critical_addons_only) {
                let later = usize::from(!self.is_initialized(index));
                let room = self.room_for_karpenter(index);
                let by_age = !self.prepared.era.initialized_first;
                if by_age || least.is_none_or(|least| least.fits(&room)) {
                    tried[later].push((index, counts[later], room));
                    see(seen, Seen::Open(later == 0, room));
                } else {
                    see(seen, Seen::Full(later == 0));
                }
                counts[later] += 1;
            } else if company && node.lives() && node.is_registered() {
                let mut other = self.existing_node(index);
                // Those that Karpenter is to move it does not count; they are still there to keep others off as they go.
                if node.disrupted {
                    other.pods.clear();
                }
                if !node.disrupted || !other.going.is_empty() {
                    elsewhere.push(other);
                }
            } else if node.stage == NodeStage::Gone {
                see(seen, Seen::Gone);
            }
        }
        if !self.prepared.era.initialized_first {
            return self.by_age(
                tried.concat().into_iter().map(|(index, ..)| index).collect(),
                least,
                elsewhere,
            );
        }
        let [first, others] = tried;
        let others = others.into_iter().map(|(index, place, room)| (index, counts[0] + place, room));
        let found = first.into_iter().chain(others);
        self.tried(found, least.is_some(), u64::from(counts[0] + counts[1]), elsewhere)
    }

    /// Nodes in the order of 0.19; those without room for `least` keep their places and are left out.
    fn by_age(&self, mut nodes: Vec<u32>, least: Option<Resources>, elsewhere: Vec<ExistingNode>) -> Tried {
        nodes.sort_by_cached_key(|node| self.age_order(*node));
        let count = nodes.len() as u64;
        let found = nodes.into_iter().zip(0..).map(|(index, at)| (index, at, self.room_for_karpenter(index)));
        let open = found.filter(|(.., room)| least.is_none_or(|least| least.fits(room)));
        self.tried(open, least.is_some(), count, elsewhere)
    }

    /// These of `count`: which, at which places, with how much room, which may be all that matters.
    fn tried(
        &self,
        found: impl Iterator<Item = (u32, u32, Resources)>,
        plain: bool,
        count: u64,
        elsewhere: Vec<ExistingNode>,
    ) -> Tried {
        let most = found.size_hint().0;
        let (mut indices, mut places) = (Vec::with_capacity(most), Vec::with_capacity(most));
        let mut rooms = Vec::with_capacity(most);
        for (index, place, room) in found {
            indices.push(index);
            places.push(place);
            rooms.push(room);
        }
        let nodes = match plain {
            true => Vec::new(),
            false => indices.iter().map(|index| self.existing_node(*index)).collect(),
        };
        Tried { indices, nodes, rooms, places, count, elsewhere }
    }

    /// By which 0.19 sorts nodes: the second in which their Node objects were made, and their UIDs.
    pub(super) fn age_order(&self, node: u32) -> (u64, u64) {
        let made = self.launches.made.get(&node).copied().unwrap_or(SimTime::ZERO);
        (made.millis() / 1_000, self.chance.bits(Component::Karpenter, node, UID_DRAW))
    }

    /// What every pod of these Deployments asks for at least; `None` where it matters who is on a node that is full.
    pub(super) fn least_of(&self, shapes: &[u32]) -> Option<Resources> {
        if self.constraints.is_some() || shapes.is_empty() {
            return None;
        }
        let asked = self.scenario.deployments.iter().map(|deployment| deployment.requests);
        asked.reduce(Resources::least)
    }
}
