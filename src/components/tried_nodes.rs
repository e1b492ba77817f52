//! Nodes that exist as Karpenter's rounds try them: in which order, with how much room, and which of them need no look.

use super::state::NodeStage;
use super::*;
use crate::actors::karpenter::solve::ExistingNode;

/// The draw of a node by which its UID sorts.
const UID_DRAW: u32 = 91;

/// What rounds have seen of nodes, which need no look as long as they do not change.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// A bit a node: it is gone, or no pod finds room on it.
    passed: Vec<u64>,
    /// Those without room: initialized nodes, and those that are not yet.
    full: [Vec<u64>; 2],
    /// By node that is not passed by: is it not initialized yet, and how much room is left; `None`: it must be looked at.
    open: Vec<Option<(bool, Resources)>>,
}

impl Seen {
    fn resize(&mut self, nodes: usize) {
        let words = nodes.div_ceil(64);
        self.passed.resize(words, 0);
        self.full.iter_mut().for_each(|full| full.resize(words, 0));
        self.open.resize(nodes, None);
    }

    /// The node has changed.
    pub fn look_again(&mut self, node: u32) {
        let Some(open) = self.open.get_mut(node as usize) else { return };
        *open = None;
        let (word, bit) = (node as usize / 64, 1 << (node % 64));
        self.passed[word] &= !bit;
        self.full.iter_mut().for_each(|full| full[word] &= !bit);
    }
    fn is_gone(&mut self, node: u32) {
        self.passed[node as usize / 64] |= 1 << (node % 64);
    }
    fn is_full(&mut self, node: u32, later: bool) {
        self.is_gone(node);
        self.full[usize::from(later)][node as usize / 64] |= 1 << (node % 64);
    }

    /// Of 64 nodes: those that are passed by, and of these the full ones.
    fn word(&self, word: usize) -> (u64, [u64; 2]) {
        (self.passed[word], [self.full[0][word], self.full[1][word]])
    }
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

/// Nodes with room: which, their places, and how much.
#[derive(Default)]
struct Open {
    indices: Vec<u32>,
    places: Vec<u32>,
    rooms: Vec<Resources>,
}

impl Open {
    fn push(&mut self, index: u32, count: &mut u32, room: Resources) {
        self.indices.push(index);
        self.places.push(*count);
        self.rooms.push(room);
        *count += 1;
    }
}

/// What a look at a node says.
enum Look {
    Tried {
        later: bool,
        room: Resources,
    },
    /// It is a node, and no pod is put there.
    Elsewhere,
    Nowhere,
    Gone,
}

/// Full nodes among these of 64.
#[inline]
fn count_full(counts: &mut [u32; 2], full: [u64; 2], among: u64) {
    if (full[0] | full[1]) & among != 0 {
        counts.iter_mut().zip(full).for_each(|(count, full)| *count += (full & among).count_ones());
    }
}

impl Run<'_> {
    /// Nodes and launched claims as Karpenter tries them, initialized ones first, but for those without room for `least`,
    /// which is the same at each call that has one.
    pub(super) fn existing_nodes(&mut self, least: Option<Resources>) -> Tried {
        // What Karpenter expects of trunks and devices changes without the node; places by age take in those that are full.
        let keeps =
            least.is_some() && self.prepared.extended.is_zero() && self.prepared.era.initialized_first;
        if !keeps {
            return self.look_at_nodes(least, None);
        }
        let mut seen = std::mem::take(&mut self.provisioning.seen);
        seen.resize(self.nodes.len());
        let tried = self.look_at_nodes(least, Some(&mut seen));
        self.provisioning.seen = seen;
        tried
    }

    /// Is what the last round saw still so?
    ///
    /// # Panics
    /// If not.
    pub(super) fn check_seen(&self) {
        let Some(least) = self.least_of(&[0]) else { return };
        let told = |seen: Option<&mut Seen>| {
            let Tried { indices, rooms, places, count, .. } = self.look_at_nodes(Some(least), seen);
            (indices, rooms, places, count)
        };
        let mut kept = self.provisioning.seen.clone();
        kept.resize(self.nodes.len());
        let (seen, anew) = (told(Some(&mut kept)), told(None));
        assert_eq!(seen, anew, "nodes that rounds try, their rooms, places and number, at {}", self.now);
    }

    fn look_at_nodes(&self, least: Option<Resources>, mut seen: Option<&mut Seen>) -> Tried {
        let by_age = !self.prepared.era.initialized_first;
        // Those that are initialized, then the others: how many, and which that are not full.
        let (mut counts, mut open) = ([0; 2], [Open::default(), Open::default()]);
        let (company, mut elsewhere) = (self.has_company(), Vec::new());
        for word in 0..self.nodes.len().div_ceil(64) {
            let (passed, full) = seen.as_ref().map_or((0, [0; 2]), |seen| seen.word(word));
            let there = u64::MAX >> (64 - (self.nodes.len() - word * 64).min(64));
            let (mut looks, mut counted) = (there & !passed, 0);
            while looks != 0 {
                let index = word as u32 * 64 + looks.trailing_zeros();
                let below = (looks & looks.wrapping_neg()) - 1;
                looks &= looks - 1;
                count_full(&mut counts, full, below & !counted);
                counted = below;
                if let Some((later, room)) = seen.as_ref().and_then(|seen| seen.open[index as usize]) {
                    open[usize::from(later)].push(index, &mut counts[usize::from(later)], room);
                    continue;
                }
                match self.look_at(index) {
                    Look::Tried { later, room } => {
                        let count = &mut counts[usize::from(later)];
                        if by_age || least.is_none_or(|least| least.fits(&room)) {
                            open[usize::from(later)].push(index, count, room);
                            seen.iter_mut().for_each(|seen| seen.open[index as usize] = Some((later, room)));
                        } else {
                            *count += 1;
                            seen.iter_mut().for_each(|seen| seen.is_full(index, later));
                        }
                    }
                    Look::Elsewhere if company => elsewhere.extend(self.node_elsewhere(index)),
                    Look::Elsewhere | Look::Nowhere => {}
                    Look::Gone => seen.iter_mut().for_each(|seen| seen.is_gone(index)),
                }
            }
            count_full(&mut counts, full, !counted);
        }
        let [mut first, mut others] = open;
        others.places.iter_mut().for_each(|place| *place += counts[0]);
        if first.indices.is_empty() {
            first = others;
        } else {
            first.indices.append(&mut others.indices);
            first.places.append(&mut others.places);
            first.rooms.append(&mut others.rooms);
        }
        if by_age {
            return self.by_age(first.indices, least, elsewhere);
        }
        self.tried(first, least.is_some(), u64::from(counts[0] + counts[1]), elsewhere)
    }

    fn look_at(&self, index: u32) -> Look {
        let node = &self.nodes[index as usize];
        let known = !node.unknown && (self.prepared.era.packs_foreign_nodes || !node.is_static());
        let there = node.lives() && known && !node.disrupted && !node.memory_pressure;
        let open = self.constraints.is_some() || !node.cordoned;
        if there && open && (self.tries_addon_nodes() || !node.critical_addons_only) {
            Look::Tried { later: !self.is_initialized(index), room: self.room_for_karpenter(index) }
        } else if node.lives() && node.is_registered() {
            Look::Elsewhere
        } else if node.stage == NodeStage::Gone {
            Look::Gone
        } else {
            Look::Nowhere
        }
    }

    /// A node that is not tried, with the pods that others may mind, if there are any.
    fn node_elsewhere(&self, index: u32) -> Option<ExistingNode> {
        let (node, mut other) = (&self.nodes[index as usize], self.existing_node(index));
        // Those that Karpenter is to move it does not count; they are still there to keep others off as they go.
        if node.disrupted {
            other.pods.clear();
        }
        (!node.disrupted || !other.going.is_empty()).then_some(other)
    }

    /// Nodes in the order of 0.19; those without room for `least` keep their places and are left out.
    fn by_age(&self, mut nodes: Vec<u32>, least: Option<Resources>, elsewhere: Vec<ExistingNode>) -> Tried {
        nodes.sort_by_cached_key(|node| self.age_order(*node));
        let (count, mut place, mut open) = (nodes.len() as u64, 0, Open::default());
        for index in nodes {
            let room = self.room_for_karpenter(index);
            if least.is_none_or(|least| least.fits(&room)) {
                open.push(index, &mut place, room);
            } else {
                place += 1;
            }
        }
        self.tried(open, least.is_some(), count, elsewhere)
    }

    /// These of `count`; their room may be all that matters.
    fn tried(&self, open: Open, plain: bool, count: u64, elsewhere: Vec<ExistingNode>) -> Tried {
        let Open { indices, places, rooms } = open;
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
