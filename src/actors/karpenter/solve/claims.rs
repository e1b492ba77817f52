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
    /// By shape.
    candidates: Vec<Candidates>,
    /// By claim, then by shape: such a pod will never be accepted.
    ruled_out: Vec<bool>,
    shapes: usize,
    begun: Option<Open>,
}

/// Places in the order of claims that may still take a pod of a shape.
#[derive(Clone, Debug, Default)]
struct Candidates {
    /// Has the order not changed since they were listed?
    listed: bool,
    places: Vec<u32>,
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
            candidates: vec![Candidates::default(); shapes],
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
        self.candidates.iter_mut().for_each(|candidates| candidates.listed = false);
    }

    /// The next claim that may take a pod of the shape.
    pub fn next_candidate(&mut self, walk: &mut Order, shape: u32) -> Option<u32> {
        let (order, ruled_out, shapes) = (&self.order, &self.ruled_out, self.shapes);
        let open = |place: &u32| !ruled_out[order[*place as usize] as usize * shapes + shape as usize];
        let Candidates { listed, places } = &mut self.candidates[shape as usize];
        if !std::mem::replace(listed, true) {
            places.clear();
            places.extend((0..order.len() as u32).filter(open));
        } else if walk.next == 0 {
            places.retain(open);
        }
        let place = *places.get(walk.next)?;
        walk.next += 1;
        Some(order[place as usize])
    }

    /// The claim refused a pod of the shape for good.
    pub fn rule_out(&mut self, claim: u32, shape: u32) {
        self.ruled_out[claim as usize * self.shapes + shape as usize] = true;
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
        self.ruled_out.resize(self.all.len() * self.shapes, false);
        // At the end it is in order if the last has no more pods than it.
        let last = self.order.last().map_or(0, |last| self.all[*last as usize].pods);
        self.sorted &= last <= 1;
        let place = self.order.len() as u32;
        self.order.push(claim);
        let listed = self.candidates.iter_mut().filter(|candidates| candidates.listed);
        listed.for_each(|candidates| candidates.places.push(place));
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
