//! The new claims of a round, in the order in which Karpenter looks at them: fewest pods first.

use std::ops::Index;

use super::super::offers::{SetId, Types};
use super::Claim;
use crate::actors::go_sort;
use crate::units::Resources;

/// A claim of the round under way.
#[derive(Clone, Debug)]
pub(super) struct Open {
    pub pool: u32,
    pub template: u32,
    pub pods: u32,
    pub requests: Resources,
    pub set: SetId,
    within: Option<Types>,
}

#[derive(Clone, Debug)]
pub(super) struct Claims {
    /// By the order of opening.
    all: Vec<Open>,
    /// As the last sort left them: places in `all`.
    order: Vec<u32>,
    /// Is `order` sorted? Then sorting changes nothing.
    sorted: bool,
    /// By shape: places in `order` of claims that may still take such a pod; made anew once the order has changed.
    candidates: Vec<Option<Vec<u32>>>,
    /// By claim and shape: such a pod will never be accepted.
    ruled_out: Vec<Vec<bool>>,
    shapes: usize,
    begun: Option<Open>,
}

impl Index<u32> for Claims {
    type Output = Open;
    fn index(&self, claim: u32) -> &Open {
        &self.all[claim as usize]
    }
}

/// How far a walk over the candidates has come.
#[derive(Default)]
pub(super) struct Order {
    next: usize,
}

impl Claims {
    pub fn new(shapes: usize) -> Claims {
        Claims {
            all: Vec::new(),
            order: Vec::new(),
            sorted: true,
            candidates: vec![None; shapes],
            ruled_out: Vec::new(),
            shapes,
            begun: None,
        }
    }

    pub fn len(&self) -> usize {
        self.all.len()
    }

    pub fn sort(&mut self) {
        if self.sorted {
            return;
        }
        let all = &self.all;
        go_sort::sort_by_key(&mut self.order, |claim| all[*claim as usize].pods);
        self.sorted = true;
        self.candidates.fill(None);
    }

    /// The next claim that may take a pod of the shape.
    pub fn next_candidate(&mut self, walk: &mut Order, shape: u32) -> Option<u32> {
        let (order, ruled_out) = (&self.order, &self.ruled_out);
        let open = |place: &u32| !ruled_out[order[*place as usize] as usize][shape as usize];
        let candidates = self.candidates[shape as usize]
            .get_or_insert_with(|| (0..order.len() as u32).filter(open).collect());
        if walk.next == 0 {
            candidates.retain(open);
        }
        let place = *candidates.get(walk.next)?;
        walk.next += 1;
        Some(order[place as usize])
    }

    /// The claim refused a pod of the shape for good.
    pub fn rule_out(&mut self, claim: u32, shape: u32) {
        self.ruled_out[claim as usize][shape as usize] = true;
    }

    /// The claim took a pod.
    pub fn place(&mut self, claim: u32, set: SetId, requests: Resources) {
        let open = &mut self.all[claim as usize];
        (open.set, open.requests) = (set, requests);
        open.pods += 1;
        self.sorted = false;
    }

    /// A claim that is not yet open takes the next place.
    pub fn begin(&mut self, pool: u32, template: u32, within: Option<Types>) -> u32 {
        self.begun = Some(Open { pool, template, pods: 0, requests: Resources::ZERO, set: 0, within });
        self.all.len() as u32
    }
    pub fn give_up(&mut self) {
        self.begun = None;
    }
    /// The claim begun takes its first pod.
    pub fn open(&mut self, set: SetId, requests: Resources) {
        let begun = self.begun.take().expect("a claim was begun");
        let claim = self.all.len() as u32;
        self.all.push(Open { pods: 1, requests, set, ..begun });
        self.ruled_out.push(vec![false; self.shapes]);
        // At the end it is in order if the last has no more pods than it.
        let last = self.order.last().map_or(0, |last| self.all[*last as usize].pods);
        self.sorted &= last <= 1;
        let place = self.order.len() as u32;
        self.order.push(claim);
        self.candidates.iter_mut().flatten().for_each(|list| list.push(place));
    }

    /// The claim, which has just taken a pod, may become one of these types only.
    pub fn keep_to(&mut self, claim: u32, types: &Types) {
        let within = &mut self.all[claim as usize].within;
        *within = Some(within.as_ref().map_or_else(|| types.clone(), |within| within.and(types)));
    }
    /// What the pool's limits and DaemonSets' host ports left for the claim.
    pub fn within(&self, claim: u32) -> Option<&Types> {
        match self.all.get(claim as usize) {
            Some(open) => open.within.as_ref(),
            None => self.begun.as_ref()?.within.as_ref(),
        }
    }

    pub fn outcome(&self, claim: u32) -> Claim {
        let Open { pool, pods, requests, set, within, .. } = self[claim].clone();
        Claim { pool, pods, requests, set, within }
    }
    pub fn finish(self) -> Vec<Claim> {
        (0..self.len() as u32).map(|claim| self.outcome(claim)).collect()
    }
}
